"""The matching solver: proofs for M = 2, halves re-matched for larger M."""

import os
import subprocess
import sys
from typing import Any

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from permsolve import solve
from permsolve.cores import Threads
from permsolve.errors import InvalidOptionError
from permsolve.pattern import Pattern
from permsolve.permutation import from_groups, to_groups
from permsolve.problem import ROUNDING, Problem
from permsolve.run import Run
from permsolve.status import Status, StopReason
from permsolve.stopping import MaxIterations
from permsolve_solvers.local_search.descent import Descent
from permsolve_solvers.matching import Matching, exact, pairs
from permsolve_solvers.matching._kernels import BLOCK, TILE, pair_values
from permsolve_solvers.matching.graph import BITS, perfect_matching
from permsolve_solvers.matching.pairs import PairMoves
from tests.instances import KINDS, PATTERNS, matrix


def uniform(rows: int, columns: int, text: str, seed: int = 0) -> Problem:
    """A random float32 problem."""
    return Problem(np.random.default_rng(seed).random((rows, columns)).astype(np.float32), text)


def networkx_value(problem: Problem) -> float:
    """The optimum of a problem with M = 2 by networkx, on the complete graph."""
    size = problem.group_count * 2
    graph = nx.Graph()
    for i in range(size):
        for j in range(i):
            graph.add_edge(i, j, weight=float(problem.group_values([[j, i]])[0]))
    found = nx.max_weight_matching(graph, maxcardinality=True)
    return float(problem.group_values([sorted(pair) for pair in found]).sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [1, 2, 3, 12, 33, 40])
def test_pairs_equal_networkx(kind: str, columns: int) -> None:
    """The same optimum as another matching routine finds in the complete graph; proven; odd counts, too."""
    problem = Problem(matrix(kind, 6, columns, np.random.default_rng(columns)), "1:2")
    result = solve(problem, "matching")
    assert result.status is Status.OPTIMAL
    assert result.value == pytest.approx(networkx_value(problem), rel=1e-12)
    assert result.bound - result.value <= ROUNDING * result.bound


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [7, 10, 13])
def test_pairs_equal_exhaustive(kind: str, columns: int) -> None:
    """The optimum that looking at every partition finds, also from a start given."""
    rng = np.random.default_rng(columns)
    problem = Problem(matrix(kind, 5, columns, rng), "1:2")
    best = solve(problem, "exhaustive")
    result = solve(problem, "matching", initial=rng.permutation(columns))
    assert result.status is Status.OPTIMAL
    assert result.value == pytest.approx(best.value, rel=1e-12)


@pytest.fixture
def loose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Valid prices that leave a gap, as the odd-set constraints do, and a first matching among few pairs."""
    tight = exact.column_prices

    def loosened(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        prices, successor = tight(weights)
        return prices + 1e-3, successor

    monkeypatch.setattr(exact, "column_prices", loosened)
    monkeypatch.setattr(exact, "NEAR", 1)


@pytest.mark.usefixtures("loose")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gap_is_closed_by_a_second_matching(kind: str) -> None:
    """Among all pairs whose slack is within the gap."""
    problem = Problem(matrix(kind, 8, 37, np.random.default_rng(3)), "1:2")
    result = solve(problem, "matching", workers=2)
    assert result.iterations == 2
    assert result.status is Status.OPTIMAL
    assert result.value == pytest.approx(networkx_value(problem), rel=1e-12)


@pytest.mark.usefixtures("loose")
def test_a_stopped_proof_leaves_a_valid_bound() -> None:
    """Between the first matching and the second one, the prices still bound every permutation."""
    problem = uniform(8, 30, "1:2")
    best = solve(problem, "matching")
    stopped = solve(problem, "matching", stop=MaxIterations(1))
    assert best.status is Status.OPTIMAL
    assert stopped.status is Status.FEASIBLE
    assert stopped.value <= best.value < stopped.bound < stopped.row_bound


@pytest.mark.parametrize("seed", range(5))
def test_prices_cover_every_pair(seed: int) -> None:
    """Two prices are never less than what the pair keeps, and add up to the assignment bound."""
    weights = np.random.default_rng(seed).normal(size=(20, 20))
    weights = weights + weights.T
    np.fill_diagonal(weights, -np.inf)
    prices, successor = exact.column_prices(weights)
    assert (prices[:, None] + prices - weights >= -1e-12).all()
    _, chosen = linear_sum_assignment(weights, maximize=True)
    assert prices.sum() == pytest.approx(weights[np.arange(20), chosen].sum() / 2.0, rel=1e-9)
    assert successor.tolist() == chosen.tolist()


def test_weights_are_integers_wide_enough() -> None:
    """A difference in the last place of a float64 decides, next to weights a million times smaller."""
    one = 1.0
    first, second = np.array([0, 2, 0, 1]), np.array([1, 3, 2, 3])
    tiny = 1e-6
    assert BITS >= 53 + 20
    partner = perfect_matching(4, first, second, np.array([one, tiny, np.nextafter(one, 2.0), tiny]))
    assert partner.tolist() == [2, 3, 0, 1]
    partner = perfect_matching(4, first, second, np.array([one, np.nextafter(tiny, 1.0), one, tiny]))
    assert partner.tolist() == [1, 0, 3, 2]


def kept_by_union(x: NDArray[Any], one: NDArray[Any], other: NDArray[Any], n: int) -> float:
    """The oracle: sort every row of the union."""
    members = np.concatenate([one[one >= 0], other[other >= 0]])
    return float(np.sort(x[members].astype(np.float64), axis=0)[-n:].sum())


@pytest.mark.parametrize("text", PATTERNS)
@pytest.mark.parametrize("parts", [1, 2])
def test_pair_values(text: str, parts: int) -> None:
    """Every pair of halves against sorting, more rows than a block, more halves than a tile, in parts."""
    pattern = Pattern.parse(text)
    n, m = pattern.n, pattern.m
    rng = np.random.default_rng(5)
    groups = TILE // 2 + 1
    x = rng.random((groups * m, BLOCK + 3)).astype(np.float32)
    halves = np.full((2 * groups, m - m // 2), -1, np.int64)
    columns = rng.permutation(groups * m).reshape(groups, m)
    halves[:groups, : m // 2] = columns[:, : m // 2]
    halves[groups:] = columns[:, m // 2 :]
    out = np.zeros((2 * groups, 2 * groups))
    apart = m % 2 == 1
    for part in range(parts):
        pair_values(x, halves, min(n, halves.shape[1]), n, apart, part, parts, out)
    for i in range(2 * groups):
        for j in range(i + 1, 2 * groups):
            if apart and (i < groups) == (j < groups):
                assert out[i, j] == 0.0
            else:
                assert out[i, j] == pytest.approx(kept_by_union(x, halves[i], halves[j], n), rel=1e-5)
            assert out[j, i] == out[i, j]


@pytest.mark.parametrize("text", ["2:4", "1:4", "4:8", "3:5", "1:3", "7:8"])
@pytest.mark.parametrize("short", [0, 1])
def test_moves_never_lose(text: str, short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts and at once: groups stay a partition, the short one as it was, and what is said to gain does."""
    pattern = Pattern.parse(text)
    problem = uniform(10, 12 * pattern.m - short, text)
    for most in (5, 256):
        monkeypatch.setattr(pairs, "MAX_GROUPS", most)
        groups = to_groups(np.arange(problem.columns), pattern)
        last = groups[-1].copy()
        gained = 0
        with Threads(1) as pool:
            moves = PairMoves(problem, groups, pool, 1, np.random.default_rng(0), 6)
            assert moves.parts == (1 if most == 256 else 3)
            for _ in range(9):
                before = problem.group_values(groups).sum()
                better = moves.move()
                after = problem.group_values(groups).sum()
                assert after > before if better else after == before
                gained += better
        assert gained > 0
        assert sorted(from_groups(groups, problem.columns).tolist()) == list(range(problem.columns))
        if short:
            assert groups[-1].tolist() == last.tolist()


def test_leaves_an_optimum_of_swaps() -> None:
    """What no swap of two columns can improve, re-matched halves can."""
    problem = uniform(32, 64, "2:4", seed=1)
    state = Descent.of(problem.working, to_groups(np.arange(64), problem.pattern), 2, 64)
    state.descend()
    start = from_groups(state.groups, 64)
    result = solve(problem, "matching", initial=start)
    assert result.value > problem.value(start)
    assert result.stop_reason is StopReason.COMPLETED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", PATTERNS)
def test_never_worse_than_the_start(kind: str, text: str) -> None:
    """On every kind of data and every pattern, from a random start."""
    rng = np.random.default_rng(8)
    columns = 6 * Pattern.parse(text).m - 1
    problem = Problem(matrix(kind, 6, columns, rng), text)
    start = rng.permutation(columns)
    result = solve(problem, "matching", initial=start, patience=3)
    assert result.value >= problem.value(start)
    assert result.value <= result.bound


@pytest.mark.parametrize("workers", [1, 2])
def test_same_seed_same_answer(workers: int) -> None:
    """Iterations stop it; the workers share the scoring only, so their number changes nothing either."""
    problem = uniform(20, 160, "2:4")
    runs = [solve(problem, "matching", seed=3, stop=MaxIterations(12), workers=count) for count in (1, workers)]
    assert runs[0].permutation.tolist() == runs[1].permutation.tolist()
    assert runs[0].iterations == runs[1].iterations == 12


def test_ties_are_broken_the_same_way_in_every_process() -> None:
    """Many matchings of equal weight: the one taken does not hang on a hash seed."""
    code = (
        "import numpy as np\n"
        "from permsolve import Problem\n"
        "from permsolve.run import Run\n"
        "from permsolve_solvers.matching import Matching\n"
        "for text in ('1:2', '2:4'):\n"
        "    run = Run(Problem(np.random.default_rng(0).integers(0, 2, (3, 40)), text))\n"
        "    Matching(patience=3).solve(run.problem, run)\n"
        "    print(run.permutation.tolist())\n"
    )
    path = os.pathsep.join(sys.path)
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_many_pairs_are_matched_in_parts() -> None:
    """Beyond the exact limit M = 2 is improved without a proof rather than refused."""
    problem = uniform(10, 41, "1:2")
    result = solve(problem, "matching", patience=5, exact_columns=40)
    assert result.value > problem.baseline
    assert result.status is Status.FEASIBLE


def test_a_run_that_may_not_go_on_returns() -> None:
    """Interrupted while the pairs are scored, or before: what was there stays."""
    problem = uniform(30, 20, "1:2")
    run = Run(problem)
    run.interrupt()
    assert Matching().solve(problem, run).bound is None
    assert exact.pair_values(problem, run) is None
    assert run.value == problem.baseline


@pytest.mark.parametrize("name", ["patience", "partners", "exact_columns"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many", None])
def test_options_are_checked(name: str, value: Any) -> None:
    """Whole numbers from 1."""
    with pytest.raises(InvalidOptionError, match=f"matching: {name} must be a whole number >= 1"):
        Matching(**{name: value})
