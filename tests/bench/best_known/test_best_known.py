"""Best known values: the file holds, and nothing wrong gets into it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.best_known import DEFAULT_PATH, Entry, WrongEntryError, check_entry, improved, load, prove_entry, save
from bench.cli import app
from bench.instances import get_instance
from bench.plans import Task
from bench.runner.row import pack_permutation
from bench.runner.solving import solve_row

NAME = "uniform-16x16@1"


def _row(solver: str, name: str = NAME) -> dict[str, Any]:
    return solve_row(Task(name, solver, 1.0), 10**7, lambda phase: None)


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    """A poor value, and the optimum."""
    return {solver: _row(solver) for solver in ("identity", "exhaustive")}


def test_the_committed_file_holds() -> None:
    """Every value is what its permutation keeps."""
    entries = load()
    assert entries
    for name, entry in entries.items():
        check_entry(name, entry)


def test_better_values_are_taken(rows: dict[str, Any], tmp_path: Path) -> None:
    """Better and proven ones; equal ones only when they add a proof; the file gives them back."""
    poor = improved({}, [rows["identity"]])
    assert (poor[NAME].solver, poor[NAME].proven) == ("identity", False)
    best = improved(poor, [rows["exhaustive"], rows["identity"]])
    assert (best[NAME].solver, best[NAME].proven) == ("exhaustive", True)
    assert improved({NAME: replace(best[NAME], proven=False, solver="x")}, [rows["exhaustive"]]) == best
    assert improved(best, [rows["exhaustive"] | {"solver": "later"}]) == best
    save(best, tmp_path / "known.json")
    assert load(tmp_path / "known.json") == best
    assert prove_entry(NAME, best[NAME], 5.0)


def test_what_does_not_count(rows: dict[str, Any]) -> None:
    """Errors, kernels, networks, files and pruned instances."""
    row = rows["exhaustive"]
    others = [
        row | {"error": {"type": "Overrun", "message": ""}},
        row | {"kind": "kernel"},
        row | {"family": "file"},
        row | {"instance": "fashion-mlp/fc1", "family": "trained"},
        row | {"instance": f"{NAME}~50"},
    ]
    assert improved({}, others) == {}


def _wrong(entry: Entry) -> dict[str, Entry]:
    other = np.arange(16)
    return {
        "value": replace(entry, value=entry.value * 1.0001),
        "permutation": replace(entry, permutation=pack_permutation(other)),
        "no permutation": replace(entry, permutation=pack_permutation(np.zeros(16, np.int64))),
        "length": replace(entry, permutation=pack_permutation(np.arange(15))),
        "text": replace(entry, permutation="?"),
    }


@pytest.mark.parametrize("what", ["value", "permutation", "no permutation", "length", "text"])
def test_wrong_entries_are_refused(rows: dict[str, Any], tmp_path: Path, what: str) -> None:
    """By the check, and by the command, in one line."""
    entry = _wrong(Entry.of_row(rows["exhaustive"]))[what]
    with pytest.raises(WrongEntryError, match=NAME):
        check_entry(NAME, entry)
    save({NAME: entry}, tmp_path / "known.json")
    answer = CliRunner().invoke(app, ["best-known", "--path", str(tmp_path / "known.json")])
    assert answer.exit_code == 2
    assert NAME in answer.output


def test_contradictions_are_refused(rows: dict[str, Any]) -> None:
    """Better than optimal, optimal but worse, a name that means nothing, at odds with a planted optimum."""
    best = Entry.of_row(rows["exhaustive"])
    poor = Entry.of_row(rows["identity"])
    with pytest.raises(WrongEntryError, match="more than the optimum"):
        improved({NAME: replace(poor, proven=True)}, [rows["exhaustive"]])
    with pytest.raises(WrongEntryError, match="is known"):
        improved({NAME: best}, [rows["identity"] | {"status": "OPTIMAL"}])
    with pytest.raises(WrongEntryError, match="not optimal"):
        prove_entry(NAME, replace(poor, proven=True, value=poor.value), 2.0)
    with pytest.raises(WrongEntryError, match="nonsense"):
        check_entry("nonsense", best)
    planted = "planted-16x16@1"
    instance = get_instance(planted)
    given = Entry.of_row(_row("identity", planted))
    assert instance.optimum is not None
    assert given.value < instance.optimum
    with pytest.raises(WrongEntryError, match="below the known optimum"):
        check_entry(planted, replace(given, proven=True))


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2, "entries": {}}', '{"format": 1, "entries": {"a": {}}}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    """By name."""
    (tmp_path / "known.json").write_text(text)
    with pytest.raises(WrongEntryError, match=r"known\.json"):
        load(tmp_path / "known.json")
    assert load(tmp_path / "none.json") == {}


def test_command(rows: dict[str, Any], tmp_path: Path) -> None:
    """Takes a run's values, then finds them right."""
    run, known = tmp_path / "run.jsonl", tmp_path / "known.json"
    run.write_text("".join(json.dumps(row) + "\n" for row in rows.values()))
    answer = CliRunner().invoke(app, ["best-known", str(run), "--path", str(known), "--show"])
    assert answer.exit_code == 0, answer.output
    assert "1 of 1" in answer.output
    answer = CliRunner().invoke(app, ["best-known", "--path", str(known), "--prove", "5"])
    assert "1 of 1 proven" in answer.output
    assert DEFAULT_PATH.is_file()
