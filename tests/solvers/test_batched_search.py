"""Descent and perturbation by batches of swaps, on an exchange matrix of the CPU's kernel."""

from itertools import combinations

import numpy as np
import pytest

from bench.gpu.stand_in import StandIn
from permsolve import Problem
from permsolve.observers import Incumbent
from permsolve.run import Run
from permsolve.stopping import MaxIterations
from permsolve_solvers.local_search import LocalSearch
from permsolve_solvers.local_search.batched import BatchedSearch
from tests.oracle import partition_value


def search(problem: Problem, iterations: int, seed: int = 0) -> tuple[Run, StandIn, list[Incumbent]]:
    """A search from the given order, and all that it offered."""
    found: list[Incumbent] = []
    run = Run(problem, stop=MaxIterations(iterations), observer=found.append)
    matrix = StandIn(problem.working, problem.pattern.n)
    BatchedSearch(problem, matrix, np.random.default_rng(seed), LocalSearch().kick, LocalSearch().temperature).search(
        run
    )
    return run, matrix, found


@pytest.mark.parametrize(
    ("rows", "columns", "pattern"), [(12, 24, "2:4"), (9, 22, "2:4"), (7, 12, "1:2"), (6, 13, "3:5")]
)
def test_descent_ends_where_no_swap_gains(rows: int, columns: int, pattern: str) -> None:
    """What is offered first is a local optimum, by the oracle; short groups and other patterns, too."""
    problem = Problem(np.random.default_rng(rows).random((rows, columns)), pattern)
    n, m = problem.pattern.n, problem.pattern.m
    _, _, (local, *_) = search(problem, 60)
    assert local.value > problem.baseline
    order = local.permutation.tolist()
    for i, j in combinations(range(columns), 2):
        swapped = list(order)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        assert partition_value(problem.saliency, swapped, n, m) <= local.value * (1 + 1e-6)


def test_perturbation_goes_on_improving() -> None:
    """Beyond the first local optimum, to about what the CPU's search finds; few groups are refreshed at a time."""
    problem = Problem(np.random.default_rng(1).random((32, 256)), "2:4")
    run, matrix, found = search(problem, 3000)
    other = Run(problem, stop=MaxIterations(3000))
    LocalSearch().solve(problem, other)
    assert run.value > found[0].value
    assert run.value - problem.baseline > 0.95 * (other.value - problem.baseline)
    assert run.value == problem.value(run.permutation)
    assert np.median(matrix.refreshed) < problem.group_count / 4


def test_same_seed_same_answer() -> None:
    """And another seed another one."""
    problem = Problem(np.random.default_rng(2).random((16, 64)), "2:4")
    first, again, other = (search(problem, 300, seed)[0] for seed in (5, 5, 6))
    assert first.permutation.tolist() == again.permutation.tolist()
    assert first.permutation.tolist() != other.permutation.tolist()
