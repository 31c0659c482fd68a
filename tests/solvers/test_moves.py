"""The compiled assignment routine and the assignment moves."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from permsolve import Problem, solve
from permsolve.errors import InvalidOptionError
from permsolve.permutation import from_groups, to_groups
from permsolve.stopping import MaxIterations
from permsolve_solvers.assignment import Assignment
from permsolve_solvers.moves import assignment as moves_module
from permsolve_solvers.moves._lap import assign
from permsolve_solvers.moves.assignment import AssignmentMoves


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 3, 1000]), st.floats(1e-6, 1e6))
def test_assign_equals_scipy(size: int, seed: int, levels: int, scale: float) -> None:
    """The same total as scipy's routine, on matrices with many ties, of any scale, and all equal."""
    gain = np.random.default_rng(seed).normal(size=(size, size))
    gain = (np.round(gain * levels) if levels < 1000 else gain * scale).astype(np.float32)
    columns = assign(gain)
    assert sorted(columns.tolist()) == list(range(size))
    rows, best = linear_sum_assignment(gain, maximize=True)
    ours = gain[np.arange(size), columns].sum(dtype=np.float64)
    assert ours == pytest.approx(gain[rows, best].sum(dtype=np.float64), rel=1e-6, abs=1e-6 * scale)


@pytest.mark.parametrize("columns", [40, 38])
@pytest.mark.parametrize("most", [512, 4])
def test_moves_without_noise_never_lose(columns: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one part or several, with a short group too; the values kept by the way are right and padding stays."""
    monkeypatch.setattr(moves_module, "MAX_GROUPS", most)
    problem = Problem(np.random.default_rng(0).random((30, columns)).astype(np.float32), "2:4")
    groups = to_groups(np.arange(columns), problem.pattern)
    with ThreadPoolExecutor(2) as pool:
        moves = AssignmentMoves(problem, groups, pool, 2, np.random.default_rng(1))
        values = [float(moves.values.sum())]
        for temperature in [0.0] * 30:
            moves.move(temperature)
            values.append(float(moves.values.sum()))
        assert values == sorted(values)
        assert values[-1] > values[0]
        moves.move(moves.spread())
    assert problem.value(from_groups(groups, columns)) == pytest.approx(float(moves.values.sum()))
    assert set(groups[-1]) >= set(range(columns, 40))


def test_cycles_and_options() -> None:
    """With so many cycles it ends by itself; impossible options are refused by name."""
    problem = Problem(np.random.default_rng(2).random((12, 24)), "2:4")
    result = solve(problem, "assignment", cycles=1, stop=MaxIterations(10**6), workers=1)
    assert result.stop_reason == "completed"
    assert result.value > result.baseline
    for wrong in ({"hot": 0.0}, {"cold": -1.0}, {"cold": 1.0, "hot": 0.5}, {"cycles": 0}, {"hot": "x"}):
        with pytest.raises(InvalidOptionError, match="assignment: "):
            Assignment(**wrong)


def test_a_warm_start_is_kept() -> None:
    """Started from a good permutation the result is never worse."""
    problem = Problem(np.random.default_rng(3).random((40, 64)), "2:4")
    good = solve(problem, "local-search", stop=MaxIterations(3000))
    again = solve(problem, "assignment", initial=good.permutation, cycles=1, stop=MaxIterations(400))
    assert again.value >= good.value
