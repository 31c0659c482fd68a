"""Columns first, against a plain transposition."""

from typing import Any

import numpy as np
import pytest

from permsolve.kernels.layout import TILE, columns_first

SIZES = (1, TILE - 1, TILE, 2 * TILE + 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", SIZES)
@pytest.mark.parametrize("rows", SIZES)
def test_rows_are_turned(rows: int, columns: int, dtype: Any) -> None:
    """Where they belong; nothing else is touched."""
    block = np.random.default_rng(0).random((rows, columns)).astype(dtype)
    out = np.full((columns + 1, rows + 5), -1, dtype)
    assert columns_first(block, 2, out)
    np.testing.assert_array_equal(out[:columns, 2 : rows + 2], block.T)
    out[:columns, 2 : rows + 2] = -1
    assert (out == -1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-30])
@pytest.mark.parametrize("place", [(0, 0), (TILE, 3), (TILE + 8, TILE + 1)])
def test_what_is_no_saliency_is_told(place: tuple[int, int], value: float) -> None:
    """Wherever it stands; a negative zero is one."""
    block = np.zeros((TILE + 9, TILE + 2), np.float32)
    block[1, 1] = -0.0
    out = np.empty(block.T.shape, np.float32)
    assert columns_first(block, 0, out)
    block[place] = value
    assert not columns_first(block, 0, out)
