"""Running tasks: every one becomes a row, whatever its solver does."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.instances import get_instance
from bench.plans import KERNEL, KERNELS, Found, Share, Task
from bench.runner import Journal, Row, open_executor, read_rows, run_tasks, supervision, unfinished, unpack_permutation
from bench.runner.rescoring import kept_magnitude
from permsolve.errors import InvalidOptionError

INSTANCE = "uniform-24x16@1"
MODULE = "tests.bench.runner.misbehaving"


def _bad(name: str) -> Task:
    return Task(INSTANCE, f"test-{name.lower()}", 0.2, target=f"{MODULE}:{name}")


def _run(tasks: list[Task], path: Path, jobs: int = 1) -> dict[str, Row]:
    rows: list[Row] = []
    with Journal(path) as journal, ThreadPoolExecutor(jobs) as pool:
        run_tasks(unfinished(tasks, journal), journal, pool, jobs, 10**8, rows.append)
        assert set(journal.rows) == {task.key for task in tasks}
    return {row["solver"] + (f" {row['label']}" if row["label"] != row["solver"] else ""): row for row in rows}


def test_every_task_becomes_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good answers are scored again and checked; solvers that raise, overrun, crash or lie are rows that say so."""
    monkeypatch.setattr(supervision, "GRACE_SECONDS", 0.5)
    good = Task(INSTANCE, "greedy", 1.0)
    first = Task(INSTANCE, "exhaustive", 5.0)
    shared = Task(INSTANCE, "random", Share(first.key, 0.5, 0.1), label="random, half")
    orphan = Task(INSTANCE, "random", Share(_bad("Raises").key, 0.5), label="random, of a failure")
    refused = Task("uniform-4x40@1", "exhaustive", 1.0, label="too wide")
    warm = Task(INSTANCE, "identity", 1.0, initial=Found(first.key), label="identity, warm")
    later = Task(INSTANCE, "identity", 1.0, initial=Found("left out"), label="identity, left out")
    kernels = [Task(INSTANCE, name, 0.0, kind=KERNEL) for name in KERNELS]
    tasks = [
        warm,
        later,
        shared,
        good,
        *map(_bad, ("Raises", "Sleeps", "Crashes", "Lies")),
        first,
        orphan,
        refused,
        *kernels,
    ]
    path = tmp_path / "run.jsonl"
    rows = _run(tasks, path)

    instance = get_instance(INSTANCE)
    order = unpack_permutation(rows["greedy"]["permutation"], instance.columns)
    assert rows["greedy"]["value"] == pytest.approx(kept_magnitude(instance.make(), order, 2, 4), rel=1e-12)
    assert rows["exhaustive"]["status"] == "OPTIMAL"
    assert "bound" in rows["exhaustive"]["checked"]
    assert rows["exhaustive"]["gap"] == 0.0
    for field in ("runtime", "wall", "cpu", "warm_up", "memory_peak", "versions", "machine", "revision", "trace"):
        assert rows["greedy"][field]
    assert rows["random random, half"]["error"] is None
    assert all(rows[name]["speed"] > 0.0 < rows[name]["limit"] for name in KERNELS)
    # The given order is not better than what it was told to start from.
    assert rows["identity identity, warm"]["value"] == rows["identity identity, warm"]["initial"]
    assert rows["identity identity, warm"]["initial"] == pytest.approx(rows["exhaustive"]["value"], rel=1e-12)
    assert rows["greedy"]["initial"] is None

    errors = {name: row["error"] for name, row in rows.items() if row["error"] is not None}
    assert {name: error["type"] for name, error in errors.items()} == {
        "test-raises": "ZeroDivisionError",
        "test-sleeps": "Overrun",
        "test-crashes": "Died",
        "test-lies": "InvalidCertificateError",
        "random random, of a failure": "NoReference",
        "identity identity, left out": "NoReference",
        "exhaustive too wide": "UnsupportedProblemError",
    }
    assert "last words" in errors["test-crashes"]["message"]
    # All are finished: nothing is left to run, but for errors when that is asked for.
    with Journal(path) as journal:
        assert unfinished(tasks, journal) == []
        assert len(unfinished(tasks, journal, retry_errors=True)) == len(errors)
    assert len(read_rows(path)) == len(tasks)


def test_rows_hold_no_folder(tmp_path: Path) -> None:
    """A file's instance is known by its name: where it lies is the user's affair."""
    import numpy as np

    weights = tmp_path / "secret-folder"
    weights.mkdir()
    np.save(weights / "w.npy", np.eye(8, dtype=np.float32))
    out = tmp_path / "run.jsonl"
    answer = CliRunner().invoke(
        app, ["run", "own", "--file", str(weights / "w.npy"), "--solver", "greedy", "-o", str(out)]
    )
    assert answer.exit_code == 0, answer.output
    (row,) = read_rows(out)
    assert (row["instance"], row["error"]) == ("w", None)
    assert "secret-folder" not in json.dumps(row)


def test_processes(tmp_path: Path) -> None:
    """A pool of processes gives the same rows; the command resumes where another executor ended."""
    out = tmp_path / "run.jsonl"
    common = ["run", "paper", "--only", "uniform-32x16@[01]", "-o", str(out)]
    runner = CliRunner()
    assert runner.invoke(app, [*common, "--solver", "identity", "--executor", "process"]).exit_code == 0
    before = read_rows(out)
    assert [row["instance"] for row in before] == ["uniform-32x16@0", "uniform-32x16@1"]
    assert runner.invoke(app, [*common, "--solver", "identity", "--solver", "greedy"]).exit_code == 0
    after = read_rows(out)
    assert after[:2] == before
    assert [row["solver"] for row in after[2:]] == ["greedy", "greedy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["papr"], "did you mean paper"),
        (["paper", "--only", "nothing*"], "nothing is left"),
        (["paper", "--instance", "nonsense"], "nonsense"),
        (["own"], "--instance or --file"),
        (["own", "--file", "none.npy"], "none.npy"),
        (["quick", "--add-solver", "mine=nowhere"], "module:Class"),
        (["quick", "--solver", "greeedy"], "unknown solver 'greeedy'"),
        (["quick", "--apex", "nowhere"], "no checkout of Apex"),
    ],
)
def test_wrong_input_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    """Exit code 2, and no file."""
    answer = CliRunner().invoke(app, ["run", *arguments, "-o", str(tmp_path / "run.jsonl")])
    assert answer.exit_code == 2
    assert message in answer.output
    assert not (tmp_path / "run.jsonl").exists()


def test_unknown_executors() -> None:
    """Named, with those there are; a scheduler that does not answer is one line, too."""
    with pytest.raises(InvalidOptionError, match="process, thread or dask"), open_executor("fork", 1):
        pass


def test_a_module_is_found_in_the_process_that_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver of the user's own, in a folder that this process knows."""
    (tmp_path / "my_solver.py").write_text(
        "from permsolve import Capabilities, Outcome\n\n\n"
        "class Mine:\n"
        "    capabilities = Capabilities('mine')\n\n"
        "    def solve(self, problem, run):\n"
        "        run.offer(range(problem.columns)[::-1])\n"
        "        return Outcome()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert str(tmp_path) in sys.path
    rows = _run([Task(INSTANCE, "mine", 1.0, target="my_solver:Mine")], tmp_path / "run.jsonl")
    assert rows["mine"]["error"] is None
