"""Pricing: every reduced cost, against plain numpy; the bound at every round."""

import itertools
import math
import sys
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from permsolve import solve, verify
from permsolve.cores import Threads
from permsolve.problem import Problem
from permsolve.registry import get_solver
from permsolve.run import Run
from permsolve.status import Status
from permsolve.stopping import MaxIterations
from permsolve_solvers.pricing import generation, pricers
from permsolve_solvers.pricing.pricers import ListPricer, QuadPricer, all_groups, make_pricer, priceable
from tests.instances import KINDS, matrix
from tests.oracle import group_value


def proper_groups(problem: Problem) -> list[tuple[int, ...]]:
    """All groups that hold all padding columns or none."""
    width = problem.columns + problem.padding
    padding = set(range(problem.columns, width))
    return [g for g in combinations(range(width), problem.pattern.m) if len(padding & set(g)) in (0, len(padding))]


@pytest.mark.parametrize(
    ("columns", "m", "padding"), [(8, 4, 0), (7, 4, 1), (6, 4, 2), (5, 4, 3), (1, 4, 3), (5, 2, 1)]
)
def test_all_groups_are_listed_once(columns: int, m: int, padding: int) -> None:
    """Those with padding hold all of it."""
    listed = all_groups(columns, m, padding)
    expected = proper_groups(Problem(np.ones((1, columns)), f"1:{m}"))
    assert sorted(map(tuple, listed.tolist())) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [8, 10, 11, 13])
@pytest.mark.parametrize("scale", [1.0, 1e-60])
def test_both_pricers_against_plain_numpy(kind: str, columns: int, scale: float) -> None:
    """Largest reduced cost, best group of each pair, and the list above a threshold; 150 rows: more than a block."""
    rng = np.random.default_rng(columns)
    problem = Problem(matrix(kind, 150, columns, rng) * scale, "2:4")
    exponent = int(np.frexp(problem.row_bound / problem.group_count)[1])
    run = Run(problem, workers=2)
    groups = proper_groups(problem)
    saliency = np.ldexp(problem.saliency.astype(np.float64), -exponent)
    values = np.array([group_value(saliency, group, 2) for group in groups])
    duals = rng.normal(0.25, 0.1, columns + problem.padding)
    reduced = values - duals[np.array(groups)].sum(axis=1)
    cut = float(np.quantile(reduced, 0.8))
    with Threads(2) as pool:
        listed = ListPricer.of(problem, run, pool, exponent)
        assert listed is not None
        for pricer in (listed, QuadPricer(problem, run, pool, exponent)):
            priced = pricer.price(duals, 1.0, np.full(duals.shape, -np.inf))
            assert priced is not None
            assert priced.complete
            most = np.array([reduced[[j in group for group in groups]].max() for j in range(duals.size)])
            assert (priced.most >= most - 1e-12).all()
            assert (priced.most <= most + 2.0 * pricer.error + 1e-12).all()
            known = dict(zip(groups, reduced, strict=True))
            for group, said in zip(priced.groups.tolist(), priced.reduced, strict=True):
                assert abs(known[tuple(group)] - said) <= pricer.error + 1e-12
            best = {pair: max(v for g, v in known.items() if g[:2] == pair) for pair in {g[:2] for g in groups}}
            for group in priced.groups.tolist():
                pair = (group[0], group[1])
                assert known[tuple(group)] >= best[pair] - 2.0 * pricer.error - 1e-12
            # What is known already need not be found again, and is never made less.
            again = pricer.price(duals, 1.0, most)
            assert again is not None
            assert np.allclose(again.most, most, rtol=0.0, atol=2.0 * pricer.error + 1e-12)
            above = pricer.above(duals, cut, 100_000)
            assert above is not None
            found = set(map(tuple, above.tolist()))
            assert {g for g, v in known.items() if v >= cut + 1e-12} <= found
            assert all(known[g] >= cut - 2.0 * pricer.error - 1e-12 for g in found)


def test_parts_of_the_pairs_come_up_in_turn() -> None:
    """A share of the groups gives no bound; all shares together see every pair."""
    problem = Problem(np.random.default_rng(0).random((6, 12)), "2:4")
    with Threads(1) as pool:
        pricer = QuadPricer(problem, Run(problem), pool, 0)
        seen: set[tuple[int, int]] = set()
        for _ in range(5):
            priced = pricer.price(np.zeros(12), 0.25, np.full(12, -np.inf))
            assert priced is not None
            assert not priced.complete
            seen |= {(group[0], group[1]) for group in priced.groups.tolist()}
        assert seen == set(combinations(range(10), 2))


def test_too_many_groups_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """For patterns other than 2:4 there is no way but listing them all."""
    problem = Problem(np.random.default_rng(0).random((2, 16)), "4:8")
    with Threads(1) as pool:
        assert isinstance(make_pricer(problem, Run(problem), pool, 0), ListPricer)
    assert priceable(problem)
    monkeypatch.setattr(pricers, "_LISTED", 1000)
    assert not priceable(problem)


@pytest.mark.parametrize("solver", ["column-generation", "cp-sat"])
def test_stopped_while_listing_there_is_something(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing all groups can take longer than the time there is: what searches comes before."""
    engine = get_solver(solver)
    monkeypatch.setattr(sys.modules[type(engine).__module__], "make_pricer", lambda *arguments: None)
    problem = Problem(np.random.default_rng(1).random((8, 32)), "4:8")
    looks = itertools.count()
    monkeypatch.setattr("permsolve.run.time", SimpleNamespace(perf_counter=lambda: 0.001 * next(looks)))
    run = Run(problem, time_limit=1.0)
    engine.solve(problem, run)
    assert run.value > problem.baseline


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, "mixed"])
def test_bounds_without_a_list_of_groups_hold(kind: str, scale: float | str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that rule groups out, parts of the groups by turns, smoothed prices: never below the optimum, and proven.

    Mixed: rows and columns whose sizes differ by 1e25, short last groups, columns of zeros.
    """
    monkeypatch.setattr(pricers, "_LISTED_QUADS", 0)
    monkeypatch.setattr(generation, "_QUICK", 1)
    monkeypatch.setattr(generation, "_PART", 0.3)
    rng = np.random.default_rng(5)
    for columns, rows in ((5, 1), (9, 40), (12, 7), (15, 33)):
        saliency = matrix(kind, rows, columns, rng)
        if scale == "mixed":
            saliency = saliency * 10.0 ** rng.integers(-12, 13, columns) * 10.0 ** rng.integers(-12, 13, (rows, 1))
            saliency[:, rng.integers(columns)] = 0.0
        else:
            saliency = saliency * scale
        problem = Problem(saliency)
        best = solve(problem, "exhaustive").value
        loose = solve(problem, "column-generation", stop=MaxIterations(4), branch=False)
        assert best * (1.0 - 1e-11) <= loose.bound
        assert verify(problem, loose).complete
        proven = solve(problem, "column-generation", time_limit=math.inf, workers=2)
        assert proven.status is Status.OPTIMAL
        assert proven.value == pytest.approx(best, rel=1e-11)
        assert verify(problem, proven).complete


def test_a_programme_whose_first_pricing_finds_nothing() -> None:
    """It is solved all the same: its prices are what the next round needs."""
    problem = Problem((np.random.default_rng(0).random((5, 76)) < 0.6).astype(np.float32))
    start = np.arange(76)
    result = solve(problem, "column-generation", initial=start, branch=False, stop=MaxIterations(200))
    assert result.stop_reason == "completed"
