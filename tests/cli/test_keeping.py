"""`solve --all` keeps the tensors that are done, whatever ends it."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import permsolve.api
import permsolve.cli.solving
from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.solving import Saving
from permsolve.errors import UnsupportedProblemError
from permsolve.io.tensors_out import write_tensors
from tests.cli.conftest import Answer

Run = Callable[..., Answer]
GREEDY = ("--solver", "greedy", "--quiet")
KEPT = "the best found so far (2 of 3 tensors) was written to "


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Three weights."""
    path = tmp_path / "m.safetensors"
    rng = np.random.default_rng(0)
    write_tensors(path, {name: rng.normal(size=(8, 16)).astype(np.float32) for name in "abc"})
    return path


def _third(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Let something happen instead of the third search."""
    search, calls = permsolve.api.solve, []

    def searched(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            happens()
        return search(*args, **options)

    monkeypatch.setattr("permsolve.api.solve", searched)


def _raising(error: BaseException) -> Callable[[], None]:
    def happens() -> None:
        fresh = copy.copy(error)
        vars(fresh).pop("__notes__", None)  # of a test before
        raise fresh

    return happens


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "permsolve: interrupted: "),
        (MemoryError(), 2, "permsolve: error: out of memory: the matrix is too large for this machine; "),
        (OSError(5, "Input/output error", "m"), 2, "permsolve: error: m: Input/output error; "),
        (UnsupportedProblemError("too wide"), 3, "permsolve: error: too wide; "),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_is_done_is_written(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str, suffix: str
) -> None:
    """As far as it came, with one line that says so after what happened; `apply` takes it."""
    out, document = model.with_name(f"p{suffix}"), model.with_name("r.json")
    _third(monkeypatch, _raising(error))
    answer = run("solve", model, "--all", *GREEDY, "--out", out, "--json", document)
    assert answer.code == code
    assert answer.err == f"{said}{KEPT}{out} and {document}\n"
    assert set(json.loads(document.read_text())["tensors"]) == {"a", "b"}
    assert run("apply", model, out, "--out", model.with_name("w.npz")).code == 0
    assert {file.name for file in model.parent.iterdir()} == {model.name, out.name, "r.json", "w.npz"}


def test_a_fault_of_a_solver_costs_nothing_that_was_found(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is called what it is, and the tensors before it are written."""
    _third(monkeypatch, _raising(ZeroDivisionError("a fault")))
    out = model.with_name("p.npz")
    answer = run("solve", model, "--all", *GREEDY, "--out", out)
    assert answer.code == ExitCode.INTERNAL_ERROR
    assert "ZeroDivisionError: a fault" in answer.err
    assert answer.err.endswith(f"; {KEPT}{out}\n")
    assert set(np.load(out)) == {"a", "b"}


def test_what_ends_the_first_search_leaves_nothing(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a file nor a promise of one."""
    monkeypatch.setattr("permsolve.api.solve", lambda *_, **__: _raising(MemoryError())())
    answer = run("solve", model, "--all", *GREEDY, "--out", model.with_name("p.npz"))
    assert answer.code == 2
    assert answer.err == "permsolve: error: out of memory: the matrix is too large for this machine\n"
    assert list(model.parent.iterdir()) == [model]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_source_that_is_deleted_stays_readable(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """It is open; all tensors are solved."""
    path = tmp_path / f"m{suffix}"
    write_tensors(path, {name: np.random.default_rng(0).random((8, 16)) for name in "abcd"})
    _third(monkeypatch, path.unlink)
    assert run("solve", path, "--all", *GREEDY, "--out", tmp_path / "p.npz").code == 0
    assert set(np.load(tmp_path / "p.npz")) == set("abcd")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_source_that_changes_ends_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """What was solved before is kept; half of another file is not taken for a weight of this one."""
    path = tmp_path / f"m{suffix}"
    write_tensors(path, {name: np.random.default_rng(0).random((8, 16)) for name in "abcd"})

    def overwritten() -> None:
        path.write_bytes(path.read_bytes() + b"more")
        os.utime(path, ns=(1, 1))

    _third(monkeypatch, overwritten)
    answer = run("solve", path, "--all", *GREEDY, "--out", tmp_path / "p.npz")
    assert answer.code == 2
    assert "was changed while it was being read" in answer.err
    assert answer.err.endswith(f"(3 of 4 tensors) was written to {tmp_path / 'p.npz'}\n")
    assert set(np.load(tmp_path / "p.npz")) == set("abc")


def test_a_process_that_is_killed_has_written_what_was_done(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each tensor, as long as that takes little of the time."""
    out, seen = model.with_name("p.npz"), []
    _third(monkeypatch, lambda: seen.append(set(np.load(out))))
    monkeypatch.setattr(permsolve.cli.solving, "_SAVING_SHARE", 1e9)
    assert run("solve", model, "--all", *GREEDY, "--out", out).code == 0
    assert seen == [{"a", "b"}]
    assert set(np.load(out)) == set("abc")


def test_saving_takes_little_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next time comes only after much longer than the last one took; a full disk is no error."""
    clock, written = iter([0.0, 1.0, 3.0, 4.0, 102.0, 104.0, 105.0]), []
    monkeypatch.setattr(permsolve.cli.solving, "monotonic", lambda: next(clock))
    monkeypatch.setattr(permsolve.cli.solving, "write_orders", lambda results, path: written.append(path))
    saved = Saving(tmp_path / "p.npz", None, True)
    saved({})  # from 1 to 3
    saved({})  # at 4: too soon
    assert len(written) == 1

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(permsolve.cli.solving, "write_orders", full)
    saved({})  # at 102
