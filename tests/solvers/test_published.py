"""The published methods: the published numbers, and what holds of them on any problem."""

import itertools
import math
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from permsolve.errors import InvalidOptionError, UnsupportedProblemError
from permsolve.permutation import to_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Solver
from permsolve.status import StopReason
from permsolve.stopping import MaxIterations
from permsolve_solvers.published import ChannelSwap, Ria, StripeGroups, stripe_groups
from permsolve_solvers.published.windows import all_windows
from tests.instances import KINDS, matrix

SOLVERS: tuple[Solver, ...] = (ChannelSwap(escapes=3), StripeGroups(escapes=3), StripeGroups(3, escapes=2), Ria())


def searched(solver: Solver, problem: Problem, **arguments: Any) -> Run:
    """A run of a solver to its end."""
    run = Run(problem, **arguments)
    outcome = solver.solve(problem, run)
    assert not outcome.proven
    assert run.value == problem.value(run.permutation)
    return run


@pytest.fixture(scope="module")
def published() -> Problem:
    """The matrix of the published table (README of ASP's permutation tests)."""
    return Problem(np.random.RandomState(1).rand(128, 64), "2:4")


@pytest.mark.parametrize(
    ("solver", "value", "efficacy"),
    [(ChannelSwap(), 2913.352, 32.1), (StripeGroups(), 2919.757, 35.5)],
    ids=["channel-swap", "stripe-groups"],
)
def test_published_values(published: Problem, solver: Solver, value: float, efficacy: float) -> None:
    """Without escapes the methods do as published, up to the order in which float32 sums were rounded there."""
    run = searched(solver, published)
    assert run.value == pytest.approx(value, abs=0.01)
    assert published.efficacy(run.value) == pytest.approx(efficacy, abs=0.05)


def test_published_value_of_three_groups(published: Problem) -> None:
    """At least the published 36.6 percent."""
    run = searched(StripeGroups(window=3), published)
    assert run.value >= 2921.9
    assert published.efficacy(run.value) >= 36.6


def test_ria_improves_its_allocation(published: Problem) -> None:
    """The assignment rounds add to what the snake order gives."""
    allocated = searched(Ria(), published, stop=MaxIterations(1)).value
    assert published.baseline < allocated < searched(Ria(), published).value


@pytest.mark.parametrize("method", [ChannelSwap, StripeGroups])
def test_escapes_never_hurt(published: Problem, method: type[ChannelSwap] | type[StripeGroups]) -> None:
    """They start where the descent ends; the best is remembered."""
    values = [searched(method(escapes=escapes), published, seed=3).value for escapes in (0, 5, 60)]
    assert values == sorted(values)


def test_escapes_of_channel_swap_help(published: Problem) -> None:
    """On this matrix a few hundred find something better."""
    assert searched(ChannelSwap(escapes=300), published).value > searched(ChannelSwap(), published).value


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_same_seed_same_answer(published: Problem, solver: Solver) -> None:
    """Also when iterations stop the search in the middle of a pass."""
    for stop in (None, MaxIterations(7)):
        first, second = (searched(solver, published, seed=5, stop=stop) for _ in range(2))
        assert first.permutation.tolist() == second.permutation.tolist()
        assert first.iteration == second.iteration


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("text", ["1:2", "1:3", "2:4", "3:4"])
def test_sound_on_every_kind_of_data(solver: Solver, text: str) -> None:
    """Full and short last groups, ties, zeros and duplicates; a start is never made worse."""
    rng = np.random.default_rng(21)
    for kind in KINDS:
        for columns in (1, 3, 4, 5, 8, 11, 12, 14):
            problem = Problem(matrix(kind, 300, columns, rng), text)
            start = rng.permutation(columns)
            run = searched(solver, problem, initial=start)
            assert run.value >= problem.value(start)
            assert sorted(run.permutation.tolist()) == list(range(columns))


@pytest.mark.parametrize(("text", "columns"), [("2:4", 15), ("1:2", 9), ("3:5", 13), ("2:4", 16)])
def test_descents_end_in_local_optima(text: str, columns: int) -> None:
    """No swap improves what channel-swap leaves, nor what stripe-groups does: its windows hold all swaps."""
    problem = Problem(np.random.default_rng(22).random((20, columns)), text)
    for solver in (ChannelSwap(), StripeGroups()):
        run = searched(solver, problem)
        assert run.stop_reason is None
        for i, j in combinations(range(columns), 2):
            other = run.permutation.copy()
            other[[i, j]] = other[[j, i]]
            assert problem.value(other) <= run.value * (1 + 1e-7)  # the search sees float32


@pytest.mark.parametrize(("text", "columns", "window"), [("2:4", 8, 2), ("2:4", 7, 2), ("3:5", 8, 2), ("1:3", 8, 3)])
def test_one_window_is_solved_exactly(text: str, columns: int, window: int) -> None:
    """When all groups fit into one window the answer is the optimum, short last group or not."""
    rng = np.random.default_rng(23)
    for _ in range(5):
        problem = Problem(rng.random((9, columns)).astype(np.float32), text)
        best = max(problem.value(rng.permutation(columns)) for _ in range(3000))
        assert searched(StripeGroups(window), problem).value >= best


def test_a_descent_goes_on_from_the_start(published: Problem) -> None:
    """From its own answer there is nothing left to do but one pass."""
    first = searched(StripeGroups(), published)
    again = searched(StripeGroups(), published, initial=first.permutation)
    assert again.value == first.value
    assert again.iteration < first.iteration


def test_large_windows_are_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same answer; and they can be stopped inside a window."""
    problem = Problem(np.random.default_rng(24).random((40, 46)).astype(np.float32), "4:8")
    whole = searched(StripeGroups(), problem)
    monkeypatch.setattr(stripe_groups, "SLICE", 500_000)
    parts = searched(StripeGroups(), problem)
    assert parts.permutation.tolist() == whole.permutation.tolist()
    stopped = searched(StripeGroups(), problem, time_limit=1e-3)
    assert stopped.stop_reason is StopReason.TIME


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_a_stop_is_obeyed(solver: Solver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a slice or two of a large problem, and at once when it comes before the start."""
    problem = Problem(np.random.default_rng(25).random((1000, 256), np.float32), "2:4")
    assert searched(solver, problem, stop=MaxIterations(0)).iteration == 0
    looks = itertools.count()
    monkeypatch.setattr("permsolve.run.time", SimpleNamespace(perf_counter=lambda: 0.02 * next(looks)))
    assert searched(solver, problem, time_limit=0.1).stop_reason is StopReason.TIME
    assert next(looks) < 50


def test_refusals() -> None:
    """Windows of too many partitions, and too many windows; a single group is never refused."""
    problem = Problem(np.ones((2, 40), np.float32), "16:32")
    with pytest.raises(UnsupportedProblemError, match=r"916312070471295267 partitions .* use another solver"):
        StripeGroups().solve(problem, Run(problem))
    problem = Problem(np.eye(2, 40, dtype=np.float32), "4:8")
    with pytest.raises(UnsupportedProblemError, match=r"use window=2 or another solver"):
        StripeGroups(3).solve(problem, Run(problem))
    problem = Problem(np.ones((1, 4096), np.float32), "1:4")
    with pytest.raises(UnsupportedProblemError, match=r"178433024 sets of 3 groups .*limit: 20000000"):
        StripeGroups(3).solve(problem, Run(problem))
    problem = Problem(np.ones((1, 2 * 6400), np.float32), "1:2")
    with pytest.raises(UnsupportedProblemError, match="channel-swap cannot hold"):
        ChannelSwap().solve(problem, Run(problem))
    problem = Problem(np.broadcast_to(np.float32(1), (20_000, 800)), "4:8")
    with pytest.raises(UnsupportedProblemError, match=r"6435 partitions each, take about 10\^13"):
        StripeGroups().solve(problem, Run(problem))
    for solver in SOLVERS:
        searched(solver, Problem(np.ones((2, 30), np.float32), "16:32"))


@pytest.mark.parametrize("escapes", [-1, 1.5, True, "3", None])
def test_escapes_are_checked(escapes: Any) -> None:
    """A number of times."""
    for method in (ChannelSwap, StripeGroups):
        with pytest.raises(InvalidOptionError, match="escapes must be a whole number >= 0"):
            method(escapes=escapes)


@pytest.mark.parametrize("window", [1, 4, 2.0, True, "2"])
def test_windows_are_checked(window: Any) -> None:
    """Two groups or three."""
    with pytest.raises(InvalidOptionError, match="window must be 2 or 3 groups"):
        StripeGroups(window=window)


@pytest.mark.parametrize(("count", "size"), [(1, 2), (2, 2), (6, 2), (7, 3)])
def test_all_windows(count: int, size: int) -> None:
    """What itertools lists, in its order."""
    assert all_windows(count, size).tolist() == [list(window) for window in combinations(range(count), size)]


@pytest.mark.parametrize(("m", "window"), [(2, 2), (3, 2), (4, 2), (2, 3), (3, 3), (4, 3), (8, 2)])
def test_every_partition_is_listed_once(m: int, window: int) -> None:
    """35 for two groups of four, 5775 for three; the first one changes nothing."""
    candidates, partitions = stripe_groups._tables(m, window)
    assert len(candidates) == math.comb(m * window, m)
    assert len(partitions) == stripe_groups.partition_count(m, window)
    listed = candidates[partitions].reshape(-1, m * window)
    assert listed[0].tolist() == list(range(m * window))
    assert (np.sort(listed, axis=1) == np.arange(m * window)).all()
    assert len({frozenset(parts) for parts in partitions.tolist()}) == len(partitions)


def test_more_groups_than_one_assignment_takes() -> None:
    """Ria splits them into blocks."""
    problem = Problem(np.random.default_rng(26).random((2, 4 * 1100 - 1), np.float32), "2:4")
    run = searched(Ria(), problem)
    assert run.iteration == 8
    groups = to_groups(run.permutation, problem.pattern)
    assert run.value == pytest.approx(problem.group_values(groups).sum())
    assert run.value > problem.baseline
