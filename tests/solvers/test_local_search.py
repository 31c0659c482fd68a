"""Swap descent by batches, on an exchange matrix of the CPU's kernel, and reheating."""

from itertools import combinations

import numpy as np
import pytest

from bench.gpu.stand_in import StandIn
from permsolve import Problem, solve
from permsolve.cores import Threads
from permsolve.errors import InvalidOptionError
from permsolve.permutation import from_groups, to_groups
from permsolve.run import Run
from permsolve.stopping import MaxIterations
from permsolve_solvers.local_search import LocalSearch
from permsolve_solvers.local_search.batched import BatchedDescent
from permsolve_solvers.local_search.reheating import reheat
from permsolve_solvers.moves.assignment import AssignmentMoves
from permsolve_solvers.moves.state import Groups
from tests.oracle import partition_value


@pytest.mark.parametrize(
    ("rows", "columns", "pattern"), [(12, 24, "2:4"), (9, 22, "2:4"), (7, 12, "1:2"), (6, 13, "3:5")]
)
def test_descent_ends_where_no_swap_gains(rows: int, columns: int, pattern: str) -> None:
    """By the oracle; short groups and other patterns, too."""
    problem = Problem(np.random.default_rng(rows).random((rows, columns)), pattern)
    n, m = problem.pattern.n, problem.pattern.m
    groups = to_groups(np.arange(columns), problem.pattern)
    descent = BatchedDescent(problem, StandIn(problem.working, n), groups)
    order = from_groups(descent.descended(groups, Run(problem)), columns).tolist()
    value = problem.value(order)
    assert value > problem.baseline
    for i, j in combinations(range(columns), 2):
        swapped = list(order)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        assert partition_value(problem.saliency, swapped, n, m) <= value * (1 + 1e-6)


def test_descents_follow_each_other() -> None:
    """From other groups it ends where a new one ends, but computes only the rows of groups that differ."""
    problem = Problem(np.random.default_rng(1).random((16, 64), dtype=np.float32), "2:4")
    given = to_groups(np.arange(64), problem.pattern)
    matrix = StandIn(problem.working, 2)
    descent = BatchedDescent(problem, matrix, given)
    found = descent.descended(given, Run(problem)).copy()
    found[1, 0], found[9, 3] = found[9, 3], found[1, 0]
    matrix.refreshed.clear()
    again = descent.descended(found, Run(problem))
    assert matrix.refreshed[0] == 2
    fresh = BatchedDescent(problem, StandIn(problem.working, 2), found).descended(found, Run(problem))
    assert again.tolist() == fresh.tolist()


def test_a_run_that_stops_ends_the_descent() -> None:
    """With what it has got."""
    problem = Problem(np.random.default_rng(1).random((16, 64), dtype=np.float32), "2:4")
    given = to_groups(np.arange(64), problem.pattern)
    descent = BatchedDescent(problem, StandIn(problem.working, 2), given)
    assert descent.descended(given, Run(problem, stop=MaxIterations(1))).tolist() == given.tolist()
    one = descent.descended(given, Run(problem, stop=MaxIterations(2)))
    assert problem.value(from_groups(one, 64)) > problem.baseline


def reheated(problem: Problem, iterations: int, seed: int, on_gpu: bool) -> tuple[Run, Groups]:
    """A run that only reheats the given order, and the groups it leaves."""
    groups = to_groups(np.arange(problem.columns), problem.pattern)
    run = Run(problem, stop=MaxIterations(iterations))
    matrix = StandIn(problem.working, problem.pattern.n) if on_gpu else None
    with Threads(2) as pool:
        moves = AssignmentMoves(problem, groups, pool, 2, np.random.default_rng(seed), matrix)
        reheat(problem, run, moves, None if matrix is None else BatchedDescent(problem, matrix, groups))
    return run, groups


@pytest.mark.parametrize("on_gpu", [False, True])
def test_reheating_keeps_the_best(on_gpu: bool) -> None:
    """What it leaves in the groups is what it offered, the best; same seed, same answer."""
    problem = Problem(np.random.default_rng(1).random((32, 130)), "2:4")
    runs = [reheated(problem, 500, seed, on_gpu) for seed in (3, 3, 4)]
    for run, groups in runs:
        values = [point.value for point in run.trace]
        assert len(values) >= 3
        assert values == sorted(values)
        assert run.value == problem.value(run.permutation)
        assert problem.value(from_groups(groups, 130)) == pytest.approx(run.value, rel=1e-12)
    first, again, other = (run.permutation.tolist() for run, _ in runs)
    assert first == again != other


@pytest.mark.parametrize("chains", [8, 512])
def test_more_is_found_than_by_the_opening(chains: int) -> None:
    """By reheating and by chains of perturbations."""
    problem = Problem(np.random.default_rng(2).random((32, 200)), "2:4")
    opened, result = (solve(problem, "local-search", chains=chains, stop=MaxIterations(most)) for most in (100, 4000))
    assert problem.baseline < opened.value < result.value


def test_options_are_checked() -> None:
    """By name."""
    for wrong in ({"kick": 1}, {"chains": 4}, {"chains": 9.5}, {"temperature": 0.0}):
        with pytest.raises(InvalidOptionError, match="local-search: "):
            LocalSearch(**wrong)
