"""column-generation and cp-sat: proofs, options, stopping."""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from permsolve import solve, verify
from permsolve.errors import InvalidOptionError, UnsupportedProblemError
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.status import Status
from permsolve_solvers.column_generation import solver as column_generation
from permsolve_solvers.cp_sat import CpSat
from permsolve_solvers.sat.integers import Integers
from tests.instances import KINDS, matrix


@pytest.mark.parametrize("text", ["1:2", "1:4", "2:4", "4:8"])
def test_column_generation_agrees_with_the_oracle(text: str) -> None:
    """32 x 16, the optimum and a proof that checks."""
    for seed in range(3):
        problem = Problem(np.random.default_rng(seed).random((32, 16)), text)
        result = solve(problem, "column-generation", time_limit=math.inf)
        assert result.status is Status.OPTIMAL
        assert result.value == pytest.approx(solve(problem, "exhaustive").value, rel=1e-12)
        assert verify(problem, result).complete


def test_a_proof_in_other_ways() -> None:
    """24 x 12 at 2:4: column generation, CP-SAT and, without a start by heuristics, column generation again."""
    problem = Problem(np.random.default_rng(0).random((24, 12)))
    values = set()
    plans: list[tuple[str, dict[str, Any]]] = [
        ("column-generation", {}),
        ("cp-sat", {}),
        ("column-generation", {"start": 0.0}),
    ]
    for solver, options in plans:
        result = solve(problem, solver, time_limit=math.inf, **options)
        assert result.status is Status.OPTIMAL
        values.add(round(result.value, 9))
    assert len(values) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("columns", "text"), [(7, "2:4"), (8, "1:4"), (5, "3:5"), (6, "1:2")])
def test_the_direct_model(kind: str, columns: int, text: str) -> None:
    """Same optimum as exhaustive search, short groups included."""
    problem = Problem(matrix(kind, 4, columns, np.random.default_rng(1)), text)
    result = solve(problem, "cp-sat", time_limit=math.inf, model="assignment")
    assert result.status is Status.OPTIMAL
    assert result.value == pytest.approx(solve(problem, "exhaustive").value, rel=1e-11)


def test_the_linear_programme_alone() -> None:
    """Without branching: a bound and its certificate, no more."""
    problem = Problem(np.random.default_rng(1).random((16, 24)))
    result = solve(problem, "column-generation", time_limit=math.inf, branch=False)
    assert result.status is Status.FEASIBLE
    assert result.certificate().method == "duals"
    assert result.value < result.bound < problem.row_bound
    assert verify(problem, result).complete


def test_options_are_checked() -> None:
    """Of both solvers; parameters of CP-SAT go through by name, and a wrong one is named."""
    wrong: list[dict[str, Any]] = [{"start": 1.0}, {"start": "all"}, {"branch": 1}]
    for options in wrong:
        with pytest.raises(InvalidOptionError):
            solve(Problem(np.eye(4)), "column-generation", **options)
    wrong = [{"model": "magic"}, {"parameters": 3}, {"parameters": {"no_such": 1}}]
    for options in wrong:
        with pytest.raises(InvalidOptionError, match="cp-sat"):
            solve(Problem(np.eye(4)), "cp-sat", **options)
    assert CpSat(parameters={"linearization_level": 1}).parameters == {"linearization_level": 1}
    problem = Problem(np.random.default_rng(0).random((6, 8)))
    stopped = solve(problem, "cp-sat", model="assignment", parameters={"max_deterministic_time": 0.0}, time_limit=5.0)
    assert stopped.value <= stopped.bound


@pytest.mark.parametrize("model", ["groups", "assignment"])
def test_a_gap_limit_of_cp_sat_is_no_proof(model: str) -> None:
    """It says OPTIMAL of the first solution within the gap; the bound tells."""
    problem = Problem(np.random.default_rng(3).random((6, 12)))
    best = solve(problem, "exhaustive").value
    options: dict[str, Any] = {"model": model, "parameters": {"relative_gap_limit": 1e6, "num_workers": 1}}
    result = solve(problem, "cp-sat", time_limit=math.inf, initial=np.arange(12), **options)
    assert result.bound >= best * (1.0 - 1e-11)
    assert (result.status is Status.OPTIMAL) == (result.value >= best * (1.0 - 1e-11))


def test_what_is_too_large_is_refused() -> None:
    """In words, with the size."""
    problem = Problem(np.random.default_rng(0).random((1000, 96)), "16:32")
    for solver in ("column-generation", "cp-sat"):
        with pytest.raises(UnsupportedProblemError, match="1000 x 96"):
            solve(problem, solver, time_limit=1.0)


def test_the_integer_view() -> None:
    """Rounds down, by less than it says; the sum stays within the bits."""
    values = np.random.default_rng(0).random(1000) * 7.0
    integers = Integers.for_total(float(values.sum()), 1000, 50)
    rounded = integers.of(values)
    lost = values.sum() - integers.real(int(rounded.sum()))
    assert 0.0 <= lost <= integers.error(1000) <= 1e-9 * values.sum()
    assert int(rounded.sum()) < 2**50


def test_what_cannot_be_proven_in_time_is_annealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where branching would take too long, most of the time goes into annealing, not less than once.

    By a clock of which each look takes 5 ms, so that it does not matter how fast the machine is.
    """
    looks = itertools.count()
    monkeypatch.setattr("permsolve.run.time", SimpleNamespace(perf_counter=lambda: 0.005 * next(looks)))
    seconds: list[float] = []
    original = column_generation._anneal_again

    def spied(problem: Problem, run: Run, limit: float, rng: np.random.Generator) -> None:
        seconds.append(limit / run.remaining)
        original(problem, run, limit, rng)

    monkeypatch.setattr(column_generation, "_anneal_again", spied)
    problem = Problem(matrix("uniform", 32, 40, np.random.default_rng(5)), "2:4")
    for branching, expected in ((1.0, [pytest.approx(column_generation._ANNEALING, abs=0.1)]), (0.0, [])):
        monkeypatch.setattr(column_generation, "_BRANCHING", branching)
        seconds.clear()
        result = solve(problem, "column-generation", time_limit=1.5, workers=2)
        assert seconds == expected
        assert result.bound < problem.row_bound
