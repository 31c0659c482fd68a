"""The pool's linear programme, and improving a partition over a list of groups, against plain enumeration."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from permsolve_solvers.set_partition.improve import improve
from permsolve_solvers.set_partition.pool import Pool
from tests.oracle import partitions

GROUPS = np.array(list(combinations(range(12), 3)), np.int64)
VALUES: NDArray[np.float64] = np.random.default_rng(4).random((GROUPS.shape[0],))


def best_of(active: NDArray[np.bool_]) -> float:
    """The best value of a partition into active groups."""
    worth: dict[tuple[int, ...], float] = {
        tuple(group): value
        for group, value, on in zip(GROUPS.tolist(), VALUES.tolist(), active.tolist(), strict=True)
        if on
    }
    return max(sum(worth.get(group, -np.inf) for group in partition) for partition in partitions(range(12), 3))


def test_a_pool_that_starts_with_few_groups_ends_with_the_same_bound() -> None:
    """Groups that the prices call for enter; no active group is left with a positive reduced cost."""
    every = np.ones(GROUPS.shape[0], np.bool_)
    few = Pool(GROUPS, VALUES, 12, np.flatnonzero((GROUPS % 3 == [0, 1, 2]).all(axis=1))).solve(every, lambda: np.inf)
    all_in = Pool(GROUPS, VALUES, 12).solve(every, lambda: np.inf)
    assert few is not None
    assert all_in is not None
    assert few.bound == pytest.approx(all_in.bound, rel=1e-7)
    assert few.bound >= best_of(every) - 1e-12
    assert few.reduced.max() <= few.excess + 1e-12
    assert few.bound == pytest.approx(few.duals.sum() + few.weights.sum() + 4 * few.excess, rel=1e-12)
    assert np.allclose(np.bincount(GROUPS[few.numbers].ravel(), np.repeat(few.x, 3), 12), 1.0)


def test_sides_and_shrinking_lose_no_partition() -> None:
    """Each partition is on one side of a pair; the bound of a side, cuts and a smaller pool included, holds."""
    every = np.ones(GROUPS.shape[0], np.bool_)
    pool = Pool(GROUPS, VALUES, 12)
    pool.cut([(0, 1, 2), (3, 5, 9)])
    sides = pool.sides((2, 7))
    assert max(map(best_of, sides)) == pytest.approx(best_of(every), rel=1e-12)
    for side in sides:
        solution = pool.solve(side, lambda: np.inf)
        assert solution is not None
        smaller = pool.shrunk(side, solution).solve(np.ones(int(side.sum()), np.bool_), lambda: np.inf)
        assert smaller is not None
        assert min(solution.bound, smaller.bound) >= best_of(side) - 1e-12
        assert smaller.bound == pytest.approx(solution.bound, rel=1e-7)


def test_improving_ends_at_the_optimum_of_a_small_list_and_stops_when_told() -> None:
    """All groups are re-partitioned at a time: nothing better is left."""
    start = np.arange(12).reshape(4, 3)
    reduced = VALUES - 1.0
    rng = np.random.default_rng(0)
    best = improve(GROUPS, reduced, start, rng, lambda: False, lambda: np.inf)
    place = {tuple(group): number for number, group in enumerate(GROUPS.tolist())}
    assert sorted(best.ravel().tolist()) == list(range(12))
    value = sum(VALUES[place[tuple(group)]] for group in best.tolist())
    assert value == pytest.approx(best_of(np.ones(GROUPS.shape[0], np.bool_)), rel=1e-9)
    assert improve(GROUPS, reduced, start, rng, lambda: True, lambda: np.inf).tolist() == start.tolist()
