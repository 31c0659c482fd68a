"""Too little memory: what is known by then is kept, and work that does not fit is not begun."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import permsolve.memory
from permsolve import Problem, solve, upper_bound, verify
from permsolve.memory import available_memory, require_memory
from permsolve.registry import get_solver
from permsolve.run import Run
from permsolve.solver import Outcome
from permsolve.status import StopReason
from permsolve.stopping import MaxIterations


@pytest.fixture
def problem() -> Problem:
    """Small, and with a bound by groups that beats that by rows."""
    return Problem(np.random.default_rng(0).random((32, 24)), "2:4")


def _machine(monkeypatch: pytest.MonkeyPatch, folder: Path, free_kib: int, group: dict[str, str]) -> None:
    """Let the system tell these numbers."""
    (folder / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {free_kib} kB\n")
    for name, text in group.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(permsolve.memory, "_MACHINE", folder / "meminfo")
    files = (folder / "memory.max", folder / "memory.current", folder / "memory.stat", "inactive_file")
    monkeypatch.setattr(permsolve.memory, "_GROUPS", (files,))
    monkeypatch.setattr(permsolve.memory, "_left_by_limits", list)


def test_what_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The least of what the machine has and what the group of processes may take; copies of files make room."""
    _machine(monkeypatch, tmp_path, 1000, {"memory.max": "max\n", "memory.current": "5"})
    assert available_memory() == 1000 * 1024
    _machine(monkeypatch, tmp_path, 1000, {"memory.max": "5000", "memory.current": "3000"})
    assert available_memory() == 2000
    _machine(monkeypatch, tmp_path, 1000, {"memory.stat": "active_file 9\ninactive_file 700\n"})
    assert available_memory() == 2700
    (tmp_path / "meminfo").unlink()
    monkeypatch.setattr(permsolve.memory, "_GROUPS", ())
    assert available_memory() == math.inf
    require_memory("anything", 1e30)


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_limits_of_the_process_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is taken already is subtracted."""
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**45 if kind == resource.RLIMIT_AS else -1, -1))
    (left,) = permsolve.memory._left_by_limits()
    assert 2**44 < left <= 2**45


@pytest.mark.parametrize("method", ["auto", "pairs", "groups"])
def test_a_bound_that_does_not_fit_is_left_out(problem: Problem, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Each relaxation may lack the memory: the tightest of the others holds, and a note says so."""

    def too_much(*_: Any, **__: Any) -> None:
        raise MemoryError("64 GiB")

    tight = upper_bound(problem, time_limit=5.0, workers=1, method="groups")
    monkeypatch.setattr("permsolve.bound.solve", too_much)
    if method == "pairs":
        monkeypatch.setattr("permsolve.pair_bound._pair_terms", too_much)
    found = upper_bound(problem, time_limit=5.0, workers=1, method=method)
    assert tight.value <= found.value <= problem.row_bound
    assert "64 GiB" in found.notes["memory"] or method == "pairs"
    assert not tight.notes
    assert found.certificate.bound == found.value


def test_pairs_are_not_begun_where_they_do_not_fit(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that a container ends could not tell any more."""
    upper_bound(problem, time_limit=5.0, workers=1, method="pairs")
    monkeypatch.setattr("permsolve.memory.available_memory", lambda: 20_000.0)
    monkeypatch.setattr("permsolve.bound.compile_kernels", lambda *_: None)
    found = upper_bound(problem, time_limit=5.0, workers=1, method="pairs")
    assert (found.method, found.value) == ("rows", problem.row_bound)
    assert "the pairs of 24 columns would take" in found.notes["memory"]


class _RunsOut:
    """Finds something, if it shall, and then runs out of memory."""

    def __init__(self, order: Any) -> None:
        self._order, self.capabilities = order, get_solver("greedy").capabilities

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        if self._order is not None:
            run.offer(self._order)
        raise MemoryError


def test_a_search_that_runs_out_of_memory_keeps_what_it_has(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so; with nothing found it is an error."""
    better = solve(problem, "greedy").permutation
    monkeypatch.setattr("permsolve.api.get_solver", lambda *_, **__: _RunsOut(better))
    monkeypatch.setattr("permsolve.api._compile", lambda *_: None)
    result = solve(problem, "greedy")
    assert result.stop_reason is StopReason.MEMORY
    assert np.array_equal(result.permutation, better)
    assert "ran out of memory" in result.notes["memory"]
    assert verify(problem, type(result).from_dict(result.to_dict())).complete
    monkeypatch.setattr("permsolve.api.get_solver", lambda *_, **__: _RunsOut(None))
    with pytest.raises(MemoryError):
        solve(problem, "greedy")


@pytest.mark.parametrize(
    ("solver", "part", "iterations"),
    [
        ("auto", "permsolve_solvers.column_generation.solver.make_pricer", 150_000),
        ("recombine", "permsolve_solvers.portfolio.recombine.partition_model", 20_000),
    ],
)
def test_members_go_on_without_one_that_lacks_memory(
    monkeypatch: pytest.MonkeyPatch, solver: str, part: str, iterations: int
) -> None:
    """The others' permutation is returned, with a note."""
    if solver == "recombine":
        pytest.importorskip("ortools")
    problem = Problem(np.random.default_rng(0).random((16, 32)), "2:4")

    def too_much(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(part, too_much)
    result = solve(problem, solver, stop=MaxIterations(iterations), workers=1)
    assert result.value > result.baseline
    assert "not enough memory" in result.notes["memory"]
