"""The compiled assignment routine and the assignment moves."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bench.gpu.stand_in import StandIn
from permsolve import Problem, solve
from permsolve.cores import Threads
from permsolve.errors import InvalidOptionError
from permsolve.permutation import from_groups, to_groups
from permsolve.stopping import MaxIterations
from permsolve_solvers.assignment import Assignment
from permsolve_solvers.moves import _kernels
from permsolve_solvers.moves import assignment as moves_module
from permsolve_solvers.moves._lanes import FAR, STEP
from permsolve_solvers.moves._lap import assign
from permsolve_solvers.moves.assignment import AssignmentMoves
from permsolve_solvers.moves.picture import Picture, Pictures
from permsolve_solvers.moves.state import State


def filled(gain: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filled up to whole steps of columns."""
    size = gain.shape[0]
    wide = np.full((size, -(-size // STEP) * STEP), -FAR, np.float32)
    wide[:, :size] = gain
    return wide


def assigned(
    gain: NDArray[np.float32], price: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Columns of the rows, and the prices at the end."""
    wide = filled(gain)
    prices = np.zeros(wide.shape[1], np.float32)
    if price is not None:
        prices[: len(price)] = price
    columns: NDArray[np.int64] = assign(wide, prices)
    return columns, prices[: len(gain)]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 3, 1000]),
    st.floats(1e-6, 1e6),
    st.sampled_from([0.0, 0.1, 10.0]),
)
def test_assign_equals_scipy(size: int, seed: int, levels: int, scale: float, spread: float) -> None:
    """The same total as scipy's routine, from any prices: many ties, any scale, all equal."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(size, size))
    gain = (np.round(plain * levels) if levels < 1000 else plain * scale).astype(np.float32)
    unit = float(np.abs(gain).max()) or 1.0
    columns, price = assigned(gain, (spread * unit * rng.normal(size=size)).astype(np.float32))
    assert sorted(columns.tolist()) == list(range(size))
    rows, best = linear_sum_assignment(gain, maximize=True)
    ours = gain[np.arange(size), columns].sum(dtype=np.float64)
    rounding = 1e-5 * unit * max(1.0, spread)
    assert ours == pytest.approx(gain[rows, best].sum(dtype=np.float64), abs=rounding)
    profit = gain - price
    assert (profit[np.arange(size), columns] >= profit.max(axis=1) - rounding).all()


def test_good_prices_leave_nothing_to_do() -> None:
    """At the prices of an optimum each row keeps its column, and they stay."""
    gain = np.random.default_rng(0).standard_normal((40, 40), np.float32)
    columns, price = assigned(gain)
    again, same = assigned(gain[:, columns], price[columns])
    assert again.tolist() == list(range(40))
    np.testing.assert_allclose(same, price[columns], atol=1e-5)


def test_prices_are_remembered_by_column() -> None:
    """Those of columns that took part, in one scale, whatever all of them rose by; the others stay unknown."""
    rng = np.random.default_rng(0)
    groups = np.arange(48).reshape(12, 4)
    members = np.column_stack([np.arange(12), np.zeros(12, np.int64)])
    chosen, worth = groups[:, 0], rng.normal(size=12)
    prices = np.full(48, np.nan, np.float32)
    noise = np.zeros(1000, np.float32)
    first = np.float32(0.0)
    for rise in (0.0, 5.0, -70.0):
        gain = (worth + rise + 1e-3 * rng.normal(size=(12, 12))).astype(np.float32)
        _kernels.redistributed(groups, members, chosen, filled(gain), 0.0, noise, prices, rng)
        assert np.isnan(prices).sum() == 36
        np.testing.assert_allclose(prices[chosen] - prices[chosen].mean(), worth - worth.mean(), atol=0.01)
        if rise == 0.0:
            first = prices[0]
        assert prices[0] == pytest.approx(first, abs=0.01)


@pytest.mark.parametrize("columns", [40, 38])
@pytest.mark.parametrize("most", [512, 4])
def test_moves_without_noise_never_lose(columns: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one part or several, with a short group too; the values kept by the way are right and padding stays."""
    monkeypatch.setattr(moves_module, "MAX_GROUPS", most)
    problem = Problem(np.random.default_rng(0).random((30, columns)).astype(np.float32), "2:4")
    groups = to_groups(np.arange(columns), problem.pattern)
    with Threads(2) as pool:
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


def test_cyclic_exchanges_are_told_apart() -> None:
    """Groups that exchange columns with each other have one number, in whatever order they stand."""
    groups = np.arange(20).reshape(5, 4)
    members = np.column_stack([np.arange(5), np.full(5, 2)])
    chosen = groups[:, 2]
    receives = [3, 4, 2, 1, 0]  # 0 <- 3 <- 1 <- 4 <- 0, and 2 keeps its own
    gain = np.zeros((5, 5), np.float32)
    gain[np.arange(5), receives] = 1.0
    prices, noise = np.full(20, np.nan, np.float32), np.zeros(100, np.float32)
    rng = np.random.default_rng(0)
    moved, trial, cycle = _kernels.redistributed(groups, members, chosen, filled(gain), 0.0, noise, prices, rng)
    assert sorted(moved) == [0, 1, 3, 4]
    assert len(set(cycle)) == 1
    assert {int(g): int(row[2]) for g, row in zip(moved, trial, strict=True)} == {0: 14, 1: 18, 3: 6, 4: 2}
    gain[:] = 0.0
    gain[[0, 1, 3, 4], [1, 0, 4, 3]] = 1.0
    moved, _, cycle = _kernels.redistributed(groups, members, chosen, filled(gain), 0.0, noise, prices, rng)
    parts = {frozenset(moved[cycle == number].tolist()) for number in set(cycle)}
    assert parts == {frozenset({0, 1}), frozenset({3, 4})}


@pytest.mark.parametrize("coarse", [False, True])
def test_the_kept_matrix_changes_nothing(monkeypatch: pytest.MonkeyPatch, coarse: bool) -> None:
    """The same moves as without it; it is kept when few groups change, and given up when many do."""
    problem = Problem(np.random.default_rng(4).random((64, 96), dtype=np.float32), "2:4")

    def moved(most: int) -> tuple[list[list[int]], list[bool]]:
        monkeypatch.setattr(moves_module, "KEPT_BYTES", most)
        groups = to_groups(np.arange(96), problem.pattern)
        with Threads(2) as pool:
            moves = AssignmentMoves(problem, groups, pool, 2, np.random.default_rng(1))
            unit = moves.spread()
            if coarse:
                state = State.of(problem.working, groups, 2, 96)
                moves.look_at(Picture.of(problem, state, 0.2 * unit))
                assert moves._unit != 1.0
            kept, found = [], []
            for temperature in [0.0] * 80 + [0.3] * 60:
                moves.move(temperature * unit)
                kept.append(moves._matrix is not None)
                found.append(groups.ravel().tolist())
        return found, kept

    plain, never = moved(0)
    found, kept = moved(1 << 30)
    assert found == plain
    assert not any(never)
    assert kept[79]
    assert not kept[0]
    assert not kept[-1]


@pytest.mark.parametrize(("seconds", "device", "parts"), [(1e-9, False, 5), (1e9, False, 1), (1e9, True, 2)])
def test_parts_become_larger_where_there_is_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, device: bool, parts: int
) -> None:
    """Step by step, after some moves of each size; not beyond what pays beside a GPU."""
    monkeypatch.setattr(moves_module, "MIN_GROUPS", 2)
    monkeypatch.setattr(moves_module, "MAX_GROUPS_BESIDE_GPU", 5)
    problem = Problem(np.random.default_rng(0).random((30, 40), dtype=np.float32), "2:4")
    groups = to_groups(np.arange(40), problem.pattern)
    sizes: list[int] = []
    matrix = StandIn(problem.working, 2)
    exchange = AssignmentMoves._exchange

    def noted(moves: AssignmentMoves, members: NDArray[np.int64], *rest: Any) -> NDArray[np.float32] | None:
        sizes.append(len(members))
        return exchange(moves, members, *rest)

    monkeypatch.setattr(AssignmentMoves, "_exchange", noted)
    with Threads(2) as pool:
        source = matrix if device else None
        moves = AssignmentMoves(problem, groups, pool, 2, np.random.default_rng(1), source, lambda: seconds)
        for _ in range(12):
            moves.move(0.1)
    assert sizes[:5] == [2] * 5
    assert set(sizes[-parts:]) == {10 // parts}
    assert problem.value(from_groups(groups, 40)) == pytest.approx(float(moves.values.sum()))


@pytest.mark.parametrize("kept", [False, True])
def test_a_move_that_is_stopped_in_the_middle_changes_nothing(monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    """A matrix whose rows are not all brought up to date is not kept."""
    monkeypatch.setattr(moves_module, "KEPT_BYTES", 1 << 30 if kept else 0)
    monkeypatch.setattr(moves_module, "LOOK", 1)  # after every batch
    problem = Problem(np.random.default_rng(4).random((64, 256), dtype=np.float32), "2:4")
    groups = to_groups(np.arange(256), problem.pattern)
    stopping = False
    with Threads(2) as pool:
        moves = AssignmentMoves(problem, groups, pool, 2, np.random.default_rng(1), stopped=lambda: stopping)
        for _ in range(60):
            moves.move()
        assert (moves._matrix is not None) == kept
        there, value = groups.copy(), float(moves.values.sum())
        moves.reset(groups[::-1].copy())
        moves.reset(there)
        stopping = True
        moves.reset(groups[::-1].copy())
        assert moves._matrix is None
        before = groups.copy()
        assert moves.move(moves.spread()) == 0
        assert groups.tolist() == before.tolist()
        assert float(moves.values.sum()) == pytest.approx(value)


@pytest.mark.parametrize("kept", [False, True])
def test_going_to_other_groups(monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    """Values and, where it is kept, the matrix are those of the groups that it went to."""
    monkeypatch.setattr(moves_module, "KEPT_BYTES", 1 << 30 if kept else 0)
    problem = Problem(np.random.default_rng(4).random((64, 96), dtype=np.float32), "2:4")
    groups = to_groups(np.arange(96), problem.pattern)
    with Threads(2) as pool:
        moves = AssignmentMoves(problem, groups, pool, 2, np.random.default_rng(1))
        for _ in range(60):
            moves.move()
        assert (moves._matrix is not None) == kept
        there, value = groups.copy(), float(moves.values.sum())
        for _ in range(3):
            moves.move(0.02 * moves.spread())
        moves.reset(there)
        assert groups.tolist() == there.tolist()
        assert float(moves.values.sum()) == pytest.approx(value, rel=1e-12)
        if moves._matrix is not None:
            state = State.of(problem.working, there, 2, 96)
            np.testing.assert_allclose(moves._matrix, state.e, atol=1e-4)


def test_the_coarsest_picture_that_will_do() -> None:
    """Finer ones as it gets colder, the true saliency in the end, and from the beginning in a new cycle."""
    problem = Problem(np.random.default_rng(12).random((96, 64), dtype=np.float32))
    state = State.of(problem.working, to_groups(np.arange(64), problem.pattern), 2, 64)
    pictures = Pictures(problem, state, 0.5)
    found = [pictures.at(0.8**step) for step in range(60)]
    widths = [1e9 if picture is None else picture.x.shape[1] for picture in found]
    assert widths == sorted(widths)
    assert widths[0] == 96
    assert len(set(widths)) > 2
    assert found[-1] is None
    again = pictures.at(1.0)
    assert again is not None
    assert again.x.shape[1] == 96


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
