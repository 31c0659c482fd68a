"""The coarse saliency and the exchange matrix made of sums of absolute differences, against plain numpy."""

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from permsolve.kernels.absolute_differences import (
    STEP,
    TILE,
    portable_screened_differences,
    portable_tile_of_differences,
    screened_differences,
    tile_of_differences,
)
from permsolve.kernels.coarse import LEVELS, coarse
from permsolve.kernels.exchange import COARSE_BATCH, COARSE_BLOCK, exchange
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from tests import oracle
from tests.instances import KINDS, PATTERNS, matrix


@njit
def _native(left, k, right, columns, start, length):  # type: ignore[no-untyped-def]
    return tile_of_differences(left, k, right, columns, start, length)


@njit
def _portable(left, k, right, columns, start, length):  # type: ignore[no-untyped-def]
    return portable_tile_of_differences(left, k, right, columns, start, length)


@pytest.mark.parametrize("tile", [_native, _portable], ids=["native", "portable"])
@pytest.mark.parametrize("length", [0, STEP, 3 * STEP, 50 * STEP])
def test_tile_equals_numpy(tile, length: int) -> None:  # type: ignore[no-untyped-def]
    """Both spellings of the sums, the extreme bytes among the data."""
    rng = np.random.default_rng(length)
    left = rng.choice(np.array([0, 1, 127, 128, 254, 255], np.uint8), size=(7, length))
    right = rng.integers(0, 256, size=(9, length + 5 * STEP), dtype=np.uint8)
    columns = (8, 0, 3, 3)
    part = right[list(columns), 2 * STEP : 2 * STEP + length]
    expected = np.abs(left[2:5, None].astype(np.int64) - part[None].astype(np.int64)).sum(axis=2)
    assert expected.shape == TILE
    assert tile(left, 2, right, columns, 2 * STEP, length) == tuple(expected.ravel().tolist())


@njit
def _native_screen(left, k, right, columns, start, length, addends, first, limits):  # type: ignore[no-untyped-def]
    return screened_differences(left, k, right, columns, start, length, addends, first, limits)


@njit
def _portable_screen(left, k, right, columns, start, length, addends, first, limits):  # type: ignore[no-untyped-def]
    return portable_screened_differences(left, k, right, columns, start, length, addends, first, limits)


@pytest.mark.parametrize("screen", [_native_screen, _portable_screen], ids=["native", "portable"])
def test_screening_tells_which_sums_are_above(screen) -> None:  # type: ignore[no-untyped-def]
    """Bit by bit, sums that equal the limit among them, addends of either sign."""
    rng = np.random.default_rng(0)
    left = rng.integers(0, 256, size=(5, 2 * STEP), dtype=np.uint8)
    right = rng.integers(0, 256, size=(6, 3 * STEP), dtype=np.uint8)
    columns = (5, 1, 1, 0)
    seen = set()
    for _ in range(200):
        addends = rng.integers(-9000, 9000, 10)
        part = right[list(columns), STEP:].astype(np.int64)
        sums = np.abs(left[1:4, None].astype(np.int64) - part[None]).sum(axis=2) + addends[3:7]
        limits = sums[np.arange(3), rng.integers(0, 4, 3)] - rng.integers(0, 2, 3)
        expected = sum(int(sums[i, j] > limits[i]) << (4 * i + j) for i in range(3) for j in range(4))
        assert screen(left, 1, right, columns, STEP, 2 * STEP, addends, 3, tuple(limits.tolist())) == expected
        seen.add(expected)
    assert len(seen) > 50


def _full(x: NDArray[np.uint8], groups: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    count, m = groups.shape
    members = np.column_stack([np.repeat(np.arange(count), m), np.tile(np.arange(m), count)])
    out = np.full((groups.size, groups.size), np.nan, np.float32)
    exchange(x, groups, members, n, np.arange(groups.size), 0, out, groups.ravel())
    return out


def _naive(x: NDArray[np.uint8], groups: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Entry by entry, less what cancels in every exchange."""
    levels = x.T.astype(np.float64)
    totals = levels.sum(axis=0)
    out = np.empty((groups.size, groups.size))
    for group in groups.tolist():
        for position, member in enumerate(group):
            for column in range(groups.size):
                entry = oracle.exchange_entry(levels, group, position, column, n)
                out[member, column] = entry - (totals[column] - totals[member]) / 2
    return out


@pytest.mark.parametrize("text", [text for text in PATTERNS if text != "16:32"])
def test_exchange_of_bytes_equals_the_naive_one(text: str) -> None:
    """Exactly: the sums are of whole numbers. Widths that end tiles early, more members than a batch."""
    pattern = Pattern.parse(text)
    groups_wanted = -(-(COARSE_BATCH + 2) // pattern.m)
    rng = np.random.default_rng(7)
    groups = rng.permutation(groups_wanted * pattern.m).reshape(-1, pattern.m)
    x = rng.integers(0, LEVELS + 1, size=(groups.size, 2 * STEP), dtype=np.uint8)
    outside = np.ones((groups.size,) * 2, np.bool_)
    for group in groups:
        outside[np.ix_(group, group)] = False
    np.testing.assert_array_equal(_full(x, groups, pattern.n)[outside], _naive(x, groups, pattern.n)[outside])


@pytest.mark.parametrize("rows", [COARSE_BLOCK - STEP, COARSE_BLOCK, COARSE_BLOCK + STEP])
def test_no_row_is_lost_at_block_borders(rows: int) -> None:
    """Numbers of rows around the kernel's block."""
    rng = np.random.default_rng(rows)
    groups = rng.permutation(8).reshape(-1, 4)
    x = rng.integers(0, LEVELS + 1, size=(8, rows), dtype=np.uint8)
    outside = groups[0][:, None], groups[1][None, :]
    np.testing.assert_array_equal(_full(x, groups, 2)[outside], _naive(x, groups, 2)[outside])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["2:4", "1:2", "1:4"])
def test_levels_are_the_rounded_saliency_below_the_cuts(kind: str, text: str) -> None:
    """Entries are within half a unit of min(entry, cut of the row); few are cut; padding is 0."""
    pattern = Pattern.parse(text)
    problem = Problem(matrix(kind, 33, 61, np.random.default_rng(2)).astype(np.float32), pattern)
    x, unit = coarse(problem.working, problem.columns, pattern)
    assert x.shape == (problem.padded.shape[0], 64)
    assert not x.flags.writeable
    assert unit > 0.0
    assert (x[:, problem.rows :] == 0).all()
    assert (x[problem.columns :] == 0).all()
    levels = x[: problem.columns, : problem.rows].astype(np.float64)
    saliency = problem.working[: problem.columns].astype(np.float64)
    below = saliency <= levels.max(axis=0) * unit
    assert (np.abs(levels * unit - saliency)[below] <= 0.5001 * unit).all()
    assert (levels.max(axis=0) * unit <= saliency.max(axis=0) + 0.5001 * unit).all()
    assert (saliency > levels.max(axis=0) * unit + 0.5001 * unit).sum(axis=0).max() <= 0.06 * problem.columns


def test_nothing_but_zeros() -> None:
    """A unit all the same."""
    x, unit = coarse(np.zeros((8, 3), np.float32), 8, Pattern(2, 4))
    assert unit > 0.0
    assert not x.any()


@pytest.mark.parametrize("breadth", [1.5, 3.0])
def test_rows_of_bytes_add_up_to_levels(breadth: float) -> None:
    """Rows of many scales: what any group keeps of the bytes is what it keeps of the rounded saliency."""
    rng = np.random.default_rng(4)
    scales = np.exp(2.0 * rng.standard_normal((40, 1)))
    problem = Problem((rng.random((40, 24)) * scales).astype(np.float32), "2:4")
    x, unit = coarse(problem.working, problem.columns, problem.pattern, breadth)
    assert x.shape[1] <= breadth * problem.rows + STEP
    assert unit < coarse(problem.working, problem.columns, problem.pattern)[1]
    place = round(23 * (1.0 - 0.03 * 0.5))
    cuts = np.sort(problem.working, axis=0)[place]  # of all columns: there are fewer than would be looked at
    levels = np.floor(np.minimum(problem.working, cuts) * np.float32(1.0 / unit) + np.float32(0.5))
    for group in rng.permutation(24).reshape(-1, 4):
        kept = np.sort(x[group].astype(np.int64), axis=0)[2:].sum()
        assert kept == np.sort(levels[group], axis=0)[2:].sum()
