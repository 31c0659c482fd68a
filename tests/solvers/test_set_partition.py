"""Set partitioning: linear programme, cuts, branch and bound, against plain enumeration."""

import math
import threading
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from permsolve_solvers.set_partition import best_partition, branch
from permsolve_solvers.set_partition.branch import Branching
from permsolve_solvers.set_partition.cuts import separate, together_shares
from permsolve_solvers.set_partition.lp import PartitionLp, coefficients
from tests.oracle import partitions


def every_group(columns: int, m: int) -> NDArray[np.int64]:
    """All groups, columns ascending."""
    return np.array(list(combinations(range(columns), m)), np.int64)


def oracle(groups: NDArray[np.int64], values: NDArray[np.float64], columns: int) -> float:
    """The best value over all partitions that the list allows; -inf when there is none."""
    worth: dict[tuple[int, ...], float] = dict(zip(map(tuple, groups.tolist()), values.tolist(), strict=True))
    return max(
        sum(worth.get(group, -math.inf) for group in partition)
        for partition in partitions(range(columns), groups.shape[1])
    )


@pytest.mark.parametrize(("columns", "m"), [(8, 2), (9, 3), (12, 4), (10, 5)])
def test_the_best_partition_of_all_groups(columns: int, m: int) -> None:
    """Random values: often fractional at the root."""
    rng = np.random.default_rng(columns)
    groups = every_group(columns, m)
    for _ in range(8):
        values = rng.random((groups.shape[0],))
        solved = best_partition(groups, values, columns)
        assert solved.proven
        assert solved.chosen is not None
        assert sorted(groups[solved.chosen].ravel()) == list(range(columns))
        assert values[solved.chosen].sum() == pytest.approx(oracle(groups, values, columns), rel=1e-12)
        assert solved.bound == pytest.approx(values[solved.chosen].sum(), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 1.0), st.integers(-30, 30))
def test_lists_with_holes(seed: int, share: float, exponent: int) -> None:
    """Few groups, perhaps no partition at all; ties; any scale: the answer scales exactly."""
    rng = np.random.default_rng(seed)
    groups = every_group(8, 2)
    groups = groups[rng.random((groups.shape[0],)) < share]
    values = rng.integers(0, 5, (groups.shape[0],)).astype(np.float64)
    solved = best_partition(groups, np.ldexp(values, exponent), 8)
    best = oracle(groups, values, 8) if groups.size else -np.inf
    if best == -np.inf:
        assert solved.chosen is None
        return
    assert solved.proven
    assert solved.chosen is not None
    assert values[solved.chosen].sum() == best
    assert solved.bound == pytest.approx(np.ldexp(best, exponent), rel=1e-9)


def test_an_incumbent_is_never_lost_and_stopping_is_honoured() -> None:
    """Stopped at once it gives back the incumbent and a bound that holds."""
    rng = np.random.default_rng(3)
    groups = every_group(12, 3)
    values = rng.random((groups.shape[0],))
    place = {tuple(group): k for k, group in enumerate(groups.tolist())}
    incumbent = np.array([place[(0, 1, 2)], place[(3, 4, 5)], place[(6, 7, 8)], place[(9, 10, 11)]])
    stopped = best_partition(groups, values, 12, incumbent=incumbent, should_stop=lambda: True)
    assert stopped.chosen is not None
    assert stopped.chosen.tolist() == incumbent.tolist()
    assert not stopped.proven
    free = best_partition(groups, values, 12, incumbent=incumbent)
    assert free.proven
    assert values[incumbent].sum() <= free.bound <= stopped.bound


def test_cut_coefficients_and_separation() -> None:
    """Three pairs of a triangle at one half each break its cut; naive counting agrees on random points."""
    groups = every_group(7, 3)
    held = coefficients(groups, (0, 2, 5), 7)
    assert held.tolist() == [float(len({0, 2, 5} & set(group)) // 2) for group in groups.tolist()]
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    assert separate(pairs, np.full(3, 0.5), 3, 5) == [(0, 1, 2)]
    rng = np.random.default_rng(0)
    x = rng.random((groups.shape[0],)) * (rng.random((groups.shape[0],)) < 0.3)
    found = separate(groups, x, 7, 1000, least=0.1)
    expected: dict[tuple[int, ...], float] = {
        triple: sum(
            share for group, share in zip(groups.tolist(), x, strict=True) if len(set(group) & set(triple)) >= 2
        )
        for triple in combinations(range(7), 3)
    }
    assert set(found) == {triple for triple, total in expected.items() if total > 1.1}
    assert [expected[triple] for triple in found] == sorted((expected[triple] for triple in found), reverse=True)
    shares = together_shares(groups, x, 7)
    assert shares[2, 4] == pytest.approx(sum(x[k] for k, group in enumerate(groups.tolist()) if {2, 4} <= set(group)))


def test_the_programme_can_be_restricted_and_extended() -> None:
    """Switching groups off and on again gives the first objective back; duals price what is in it."""
    rng = np.random.default_rng(5)
    groups = every_group(6, 2)
    values = rng.random(15)
    lp = PartitionLp(groups[:10], values[:10], 6)
    lp.add(groups[10:], values[10:])
    first = lp.solve()
    assert first is not None
    assert (values - first.duals[groups].sum(axis=1)).max() <= 1e-8
    lp.restrict(np.arange(15) % 2 == 0)
    less = lp.solve()
    lp.restrict(np.ones(15, np.bool_))
    again = lp.solve()
    assert less is not None
    assert again is not None
    assert less.value <= first.value + 1e-9
    assert again.value == pytest.approx(first.value)


def test_branching_reports_what_it_left_open() -> None:
    """Stopped after the first nodes, the open bound still holds."""
    rng = np.random.default_rng(8)
    groups = every_group(12, 2)
    values = rng.random((groups.shape[0],))
    asked: list[Any] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 1

    search = Branching(12, -np.inf, stop, lambda: np.inf)
    search.run(groups, values, 100.0)
    assert max(search.open_bound, search.best) >= oracle(groups, values, 12) - 1e-9


@pytest.mark.parametrize("workers", [2, 4])
def test_threads_that_share_the_tree_leave_one_proof(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes a part: the optimum, and nodes in preorder that make up a whole tree of bounds below it."""
    monkeypatch.setattr(branch, "_SHARED", 1)
    monkeypatch.setattr(branch, "_ROOT_ROUNDS", 1)
    groups = every_group(12, 3)
    trees = 0
    for seed in range(6):
        values = np.random.default_rng(seed).random((groups.shape[0],))
        search = Branching(12, -np.inf, lambda: False, lambda: np.inf, workers=workers)
        nodes = search.run(groups, values)
        best = oracle(groups, values, 12)
        assert search.best == pytest.approx(best, rel=1e-12)
        assert search.open_bound == -np.inf
        open_parts = 1
        for node in nodes:
            assert open_parts > 0
            open_parts += node.children - 1
            assert node.duals.size == 12
            assert node.children or node.bound <= best * (1.0 + 1e-9)
        assert open_parts == 0
        trees += len(nodes) > 2
    assert trees > 0


def test_a_thread_that_fails_does_not_hang_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error comes out, once a part has been handed over; six trees are enough for that."""
    monkeypatch.setattr(branch, "_SHARED", 1)
    monkeypatch.setattr(branch, "_ROOT_ROUNDS", 1)
    groups = every_group(12, 3)
    main = threading.get_ident()

    def stop() -> bool:
        if threading.get_ident() != main:
            raise RuntimeError("broken")
        return False

    def search_all() -> None:
        for seed in range(6):
            Branching(12, -np.inf, stop, lambda: np.inf, workers=2).run(
                groups, np.random.default_rng(seed).random((groups.shape[0],))
            )

    with pytest.raises(RuntimeError, match="broken"):
        search_all()
