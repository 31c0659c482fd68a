"""Descent and perturbation by batches of swaps, on an exchange matrix of the CPU's kernel."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from permsolve import Problem
from permsolve.observers import Incumbent
from permsolve.run import Run
from permsolve.stopping import MaxIterations
from permsolve_solvers.local_search import LocalSearch
from permsolve_solvers.local_search.batched import BatchedSearch
from permsolve_solvers.moves.state import State
from tests.oracle import partition_value


class OnCpu:
    """What the device does, with the state that other solvers keep on the CPU."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.refreshed: list[int] = []

    def hold(self) -> None:
        """Nothing is computed yet."""
        width, n = self.problem.padded.shape[0], self.problem.pattern.n
        groups = np.arange(width).reshape(-1, self.problem.pattern.m)
        self.state = State.of(self.problem.working, groups, n, self.problem.columns)

    def refresh(self, groups: NDArray[np.int64], changed: NDArray[np.int64]) -> None:
        """Only what is asked for: groups that changed unsaid leave a wrong matrix."""
        self.refreshed.append(len(changed))
        self.state.groups[changed] = groups[changed]
        self.state.refresh(changed)

    def best_partners(self, where: NDArray[np.int64], real: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """From the whole matrix."""
        gains = self.state.e + self.state.e.T
        gains[where[:, None] == where[None, :]] = 0.0
        gains[real:] = 0.0
        gains[:, real:] = 0.0
        best = gains.max(axis=1)
        return np.maximum(best, np.float32(0.0)), np.where(best > 0.0, gains.argmax(axis=1), -1)


def search(problem: Problem, iterations: int, seed: int = 0) -> tuple[Run, OnCpu, list[Incumbent]]:
    """A search from the given order, and all that it offered."""
    found: list[Incumbent] = []
    run = Run(problem, stop=MaxIterations(iterations), observer=found.append)
    matrix = OnCpu(problem)
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
