"""Annealing without rejections: the kernel against plain numpy, temperatures, blocks."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from permsolve import Problem, solve
from permsolve.errors import InvalidOptionError
from permsolve.permutation import from_groups, to_groups
from permsolve.run import Run
from permsolve.stopping import MaxIterations
from permsolve_solvers.annealing import Annealing, _kernels
from permsolve_solvers.annealing import chain as chain_module
from permsolve_solvers.annealing import solver as solver_module
from permsolve_solvers.annealing.chain import Chain
from permsolve_solvers.annealing.solver import FIRST_CYCLE
from permsolve_solvers.annealing.temperatures import anchor, calibrate
from permsolve_solvers.moves.picture import Picture
from permsolve_solvers.moves.state import State
from tests.instances import KINDS, matrix


def _chain(problem: Problem, seed: int = 0) -> Chain:
    rng = np.random.default_rng(seed)
    groups = to_groups(rng.permutation(problem.columns), problem.pattern)
    return Chain(State.of(problem.working, groups, problem.pattern.n, problem.columns), rng)


def _gains(chain: Chain) -> NDArray[np.float64]:
    """Gain of every swap of two columns, from scratch; -inf inside groups."""
    state = chain.state
    fresh = State.of(state.x, state.groups, state.n, state.real)
    gains = (fresh.e + fresh.e.T)[: state.real, : state.real].astype(np.float64)
    where = state.where[: state.real]
    gains[where[:, None] == where[None, :]] = -np.inf
    return gains


@pytest.mark.parametrize("pattern", ["2:4", "1:2", "1:4", "4:8", "2:5"])
@pytest.mark.parametrize("slots", [1 << 16, 4])
@pytest.mark.parametrize("columns", [40, 37])
def test_state_stays_true(pattern: str, slots: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After thousands of swaps every array is what it would be from scratch, with much memory or hardly any."""
    monkeypatch.setattr(chain_module, "MEMORY_GROUPS", slots)
    problem = Problem(np.random.default_rng(1).random((23, columns)), pattern)
    chain = _chain(problem)
    start = float(chain.state.values.sum())
    events = chain.sample(0.1, 5e7) + chain.sample(0.02, 5e7)
    assert events > 1000
    state = chain.state
    fresh = State.of(state.x, state.groups, state.n, state.real)
    assert sorted(state.groups.ravel().tolist()) == list(range(state.groups.size))
    np.testing.assert_array_equal(state.where, fresh.where)
    np.testing.assert_allclose(state.values, fresh.values, rtol=1e-12)
    same = state.where[:, None] == state.where[None, :]
    np.testing.assert_allclose(state.e[~same], fresh.e[~same], atol=2e-4)
    assert (state.e[same] == _kernels.SAME).all()
    assert set(state.groups[-1]) >= set(range(columns, state.groups.size))  # padding stays
    best = problem.value(from_groups(chain.best, columns)) / problem.value(from_groups(state.groups, columns))
    assert best == pytest.approx(chain.value / float(state.values.sum()))
    assert chain.value > start


def test_swaps_are_drawn_by_their_rates() -> None:
    """From one state, single events happen as often as Metropolis' rule would accept them."""
    problem = Problem(np.random.default_rng(3).random((6, 12)), "2:4")
    temperature = 0.3
    gains = _gains(_chain(problem))
    rates = np.exp(np.minimum(gains / temperature, 0.0))
    expected = rates / rates.sum()
    counts = np.zeros_like(expected)
    draws = 4000
    for seed in range(draws):
        chain = _chain(problem)
        chain.rng = np.random.default_rng(seed)
        before = chain.state.where.copy()
        assert chain.sample(temperature, 4 * 12**2 + 1) == 1
        moved = np.flatnonzero(chain.state.where != before)
        counts[moved[0], moved[1]] += 1
    i, j = np.triu_indices(12, 1)
    possible = expected[i, j] > 0.0
    want = 2 * expected[i, j][possible] * draws
    chi_square = float(((counts[i, j][possible] - want) ** 2 / want).sum())
    freedom = int(possible.sum()) - 1
    assert counts[i, j][~possible].sum() == 0
    assert chi_square < freedom + 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 100.0])
def test_mobility_is_the_mean_rate(temperature: float) -> None:
    chain = _chain(Problem(np.random.default_rng(4).random((30, 22)), "2:4"))
    rates = np.exp(np.minimum(_gains(chain) / temperature, 0.0))
    weights = np.random.default_rng(5).random(22, dtype=np.float32)
    mean = np.average(rates.sum(axis=1), weights=weights)
    assert chain.mobility(temperature, weights) == pytest.approx(mean, rel=0.02)


def test_nearly_empty_columns_do_not_move_the_range() -> None:
    """They change places at temperatures at which all the others are frozen."""
    even = np.random.default_rng(6).random((40, 64))
    uneven = even.copy()
    uneven[:, :9] *= np.geomspace(0.01, 0.1, 9)

    def reference(saliency: NDArray[np.float64]) -> float:
        rng = np.random.default_rng(6)
        chain = _chain(Problem(saliency, "2:4"))
        chain.sample(chain.state.spread(rng) * 1e-4, 1e9)
        return anchor(chain, chain.state.spread(rng))

    assert reference(uneven) > 0.7 * reference(even)


def test_swaps_of_equal_columns_are_never_made() -> None:
    """No swap of columns that are all alike is an event, and the solver still comes to its end."""
    problem = Problem(np.repeat([[3.0], [2.0], [0.0], [1.0]], 16, axis=1), "2:4")
    assert _chain(problem).sample(0.1, 1e6) == 0
    result = solve(problem, "annealing", cycles=1, time_limit=0.2)
    assert result.value == result.baseline


def test_ends_where_every_swap_loses_too_much() -> None:
    """Without a clock, and short of the bound: all swaps lose 9, so there is no spread to set a temperature by."""
    problem = Problem(np.array([[10.0, 10.0, 0.0, 0.0], [10.0, 0.0, 0.0, 10.0], [1.0, 0.0, 1.0, 0.0]]), "1:2")
    result = solve(problem, "annealing", stop=MaxIterations(10), time_limit=20.0)
    assert (result.value, result.stop_reason, result.status) == (41.0, "completed", "FEASIBLE")


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_temperatures_follow_the_scale_of_the_data(scale: float) -> None:
    """The range scales with the data, and reaches further down where columns have many scales."""
    rng = np.random.default_rng(5)
    even = rng.random((40, 48))

    def ratio(saliency: NDArray[np.float64]) -> float:
        chain = _chain(Problem(saliency * scale, "2:4"))
        chain.sample(chain.state.spread(rng) * 1e-4, 1e9)
        spread = chain.state.spread(np.random.default_rng(0))
        found = calibrate(chain, 0.12, 0.34)
        weights = chain.state.x[: chain.state.real].sum(axis=1)
        assert chain.mobility(anchor(chain, spread), weights) == pytest.approx(0.3, rel=0.1)
        assert found.at(1.0) == pytest.approx(found.cold)
        assert found.hot == pytest.approx(0.12 * spread)
        short = [calibrate(chain, 0.12, 0.34, swaps=swaps) for swaps in (1.0, 20.0, 100.0)]
        assert {one.cold for one in short} == {found.cold}
        assert min(found.hot, 1.3 * found.cold) == pytest.approx(short[0].hot)
        assert short[0].hot <= short[1].hot <= short[2].hot == found.hot
        return found.hot / found.cold

    assert 1.2 < ratio(even) < 4.0
    assert ratio(even * np.exp(2.0 * rng.standard_normal(48))) > 8.0


def test_finds_the_proven_optimum() -> None:
    """128 x 64 uniform, seed 1: 2926.9524 is proven optimal; two cycles of two chains are enough."""
    problem = Problem(np.random.RandomState(1).rand(128, 64), "2:4")
    result = solve(problem, "annealing", seed=3, workers=2, stop=MaxIterations(600_000))
    assert result.value == pytest.approx(2926.9524, abs=0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks(kind: str) -> None:
    """More columns than a block: all are annealed, and the same again with the same seed."""
    problem = Problem(matrix(kind, 16, 200, np.random.default_rng(6)), "2:4")
    runs = [solve(problem, "annealing", block=64, workers=2, cycles=1, stop=MaxIterations(2000)) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].permutation, runs[1].permutation)
    assert runs[0].value >= runs[0].baseline


def test_criteria_are_asked_within_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Often, so that none has to wait until a block is done, which may take minutes."""
    problem = Problem(matrix("uniform", 2000, 200, np.random.default_rng(6)), "2:4")

    def made(look: float) -> int:
        monkeypatch.setattr(solver_module, "LOOK", look)
        return solve(problem, "annealing", block=64, workers=2, stop=MaxIterations(1)).iterations

    assert 1 <= made(1.0) < made(1e12) / 2


def test_options() -> None:
    for wrong in ({"hot": 0.0}, {"cold": -1.0}, {"block": 3}, {"cycles": 0}, {"hot": "x"}, {"cold": float("inf")}):
        with pytest.raises(InvalidOptionError, match=f"annealing: {next(iter(wrong))}"):
            Annealing(**wrong)


def test_a_cycle_has_its_length() -> None:
    """Without a clock a cycle makes so many swaps per column of every chain, and then the solver ends."""
    problem = Problem(np.random.default_rng(9).random((32, 64)), "2:4")
    result = solve(problem, "annealing", cycles=1, workers=2, stop=MaxIterations(10**9))
    assert result.stop_reason == "completed"
    assert result.iterations >= FIRST_CYCLE * problem.columns * 2


def _gain_errors(problem: Problem, picture: Picture, cold: float) -> NDArray[np.float64]:
    """By how much the picture is wrong about the swaps that are not hopeless, in temperatures."""
    chain = _chain(problem)
    true = chain.state.e + chain.state.e.T
    seen = State.of(picture.x, chain.state.groups, chain.state.n, problem.columns).e
    near = (true > -30.0 * cold) & (true < 1e20) & (true > -1e20)
    near &= chain.state.where[:, None] != chain.state.where[None, :]
    errors: NDArray[np.float64] = (picture.unit * (seen + seen.T) - true)[near] / cold
    return errors


@pytest.mark.parametrize("scale", [0.0, 2.0])
def test_a_picture_is_right_about_swaps(scale: float) -> None:
    """Where there is a picture, rounding moves gains by less than the last temperature; wide ranges take more bytes."""
    rng = np.random.default_rng(11)
    saliency = rng.random((96, 64)) * np.exp(scale * rng.standard_normal((96, 1)))
    problem = Problem(saliency.astype(np.float32))
    state = _chain(problem).state
    cold = 0.05 * state.spread(rng)
    picture = Picture.of(problem, state, cold)
    assert picture is not None
    assert picture.x.dtype == np.uint8
    assert (picture.x.shape[1] > 96) == (scale > 0.0)
    assert np.sqrt(np.mean(np.square(_gain_errors(problem, picture, cold)))) < 0.5


def test_no_picture_where_it_would_blur_or_not_pay() -> None:
    """A temperature far below the unit, and rows so few that bytes are mostly padding."""
    problem = Problem(np.random.default_rng(12).random((96, 64), dtype=np.float32))
    assert Picture.of(problem, _chain(problem).state, 1e-4) is None
    few = Problem(np.random.default_rng(12).random((6, 64), dtype=np.float32))
    assert Picture.of(few, _chain(few).state, 1.0) is None


@pytest.mark.parametrize("block", [64, 1024])
def test_looking_at_a_picture_ends_on_the_true_saliency(block: int) -> None:
    """Whole or in blocks, the result repeats exactly and is no worse than a plain descent."""
    problem = Problem(np.random.default_rng(13).random((64, 72), dtype=np.float32))
    options: dict[str, Any] = {"stop": MaxIterations(10**9), "cycles": 1, "workers": 2, "block": block}
    first, second = (solve(problem, "annealing", **options) for _ in range(2))
    assert first.stop_reason == "completed"
    assert (first.permutation == second.permutation).all()
    assert first.value > solve(problem, "greedy").value


class _Listening(Run):
    """A run that remembers what every permutation it was offered keeps."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem, seed=4, stop=MaxIterations(2000))
        self.heard: list[float] = []

    def offer(self, permutation: ArrayLike) -> bool:
        self.heard.append(self.problem.value(permutation))
        return super().offer(permutation)


def test_a_cold_start_is_from_scratch() -> None:
    """Another solver may have been here before: a cold search does as on its own, and the better of both is kept."""
    problem = Problem(matrix("uniform", 16, 24, np.random.default_rng(3)), "2:4")
    alone, after = _Listening(problem), _Listening(problem)
    after.offer(solve(problem, "exhaustive").permutation)
    for run in (alone, after):
        Annealing().solve(problem, run)
        assert run.value == max(run.heard)
    assert after.heard[1:] == alone.heard
