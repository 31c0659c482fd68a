"""The scorer against the naive one."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from permsolve.kernels.scoring import BLOCK, group_values
from permsolve.pattern import Pattern
from tests import oracle
from tests.instances import KINDS, PATTERNS, matrix

FLOATS = (np.float32, np.float64)


def scored(saliency: NDArray[Any], groups: list[list[int]], n: int, dtype: Any) -> NDArray[np.float64]:
    """Run the kernel on a matrix (rows, columns)."""
    out = np.full(len(groups), np.nan)
    group_values(np.ascontiguousarray(saliency.T, dtype=dtype), np.array(groups, np.int64), n, out)
    return out


def drawn(pattern: Pattern, count: int, rng: np.random.Generator) -> list[list[int]]:
    """Groups that overlap and whose columns are in no order."""
    return [rng.permutation(2 * pattern.m)[: pattern.m].tolist() for _ in range(count)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", PATTERNS)
def test_scores_equal_the_naive_ones(text: str, kind: str, dtype: Any) -> None:
    """Every kind of data, ties, zeros and equal columns included, in both types."""
    pattern = Pattern.parse(text)
    rng = np.random.default_rng(1)
    saliency = matrix(kind, 11, 2 * pattern.m, rng)
    groups = drawn(pattern, 6, rng)
    expected = [oracle.group_value(saliency, group, pattern.n) for group in groups]
    np.testing.assert_allclose(scored(saliency, groups, pattern.n, dtype), expected, rtol=1e-13)


@pytest.mark.parametrize("rows", [1, 2, 7, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 3])
@pytest.mark.parametrize("text", ["1:2", "2:4", "3:5"])
def test_no_row_is_lost_at_block_borders(text: str, rows: int) -> None:
    """One row, and numbers of rows around the sizes of the kernel's blocks."""
    pattern = Pattern.parse(text)
    rng = np.random.default_rng(rows)
    saliency = matrix("uniform", rows, 2 * pattern.m, rng)
    groups = drawn(pattern, 3, rng)
    expected = [oracle.group_value(saliency, group, pattern.n) for group in groups]
    np.testing.assert_allclose(scored(saliency, groups, pattern.n, np.float32), expected, rtol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 31])
def test_an_all_zero_matrix_keeps_nothing(n: int) -> None:
    """Zeros score exactly zero, for every N of the largest M."""
    assert scored(np.zeros((300, 32)), [list(range(32))], n, np.float32).tolist() == [0.0]


def test_float32_is_summed_in_float64() -> None:
    """A million small entries beside a large one: a float32 sum would lose them."""
    saliency = np.full((1 << 20, 2), 2.0**-24)
    saliency[0] = 1.0
    assert scored(saliency, [[0, 1]], 1, np.float32)[0] == 1.0 + ((1 << 20) - 1) * 2.0**-24


@pytest.mark.parametrize("text", PATTERNS)
def test_order_in_a_group_does_not_matter(text: str) -> None:
    """Entries are sums of small integers, so equality is exact."""
    pattern = Pattern.parse(text)
    rng = np.random.default_rng(3)
    saliency = matrix("ties", 40, pattern.m, rng)
    groups = [rng.permutation(pattern.m).tolist() for _ in range(5)]
    assert len(set(scored(saliency, groups, pattern.n, np.float64))) == 1
