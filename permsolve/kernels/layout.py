"""From rows to columns: the layout of all other kernels."""

import numpy as np

from permsolve.jit import njit

# A tile is turned in the first-level cache: rows of the one side and columns of the other are far apart in memory, and
# a whole row or column at a time would keep one cache line of each alive.
TILE = 64


@njit(cache=True, nogil=True)
def columns_first(block, start, out):
    """Write rows into ``out[:, start:]``; whether all their entries are saliencies, finite and >= 0.

    Parameters
    ----------
    block : ndarray of float32 or float64, shape (some rows, columns), C order
        The rows.
    start : int
        The first one's place in ``out``.
    out : ndarray of the same dtype, shape (>= columns, rows), C order
        Receives them.
    """
    rows, columns = block.shape
    tile = np.empty((TILE, TILE + 1), block.dtype)
    good = True
    for top in range(0, rows, TILE):
        height = min(TILE, rows - top)
        for left in range(0, columns, TILE):
            width = min(TILE, columns - left)
            for r in range(height):
                row = block[top + r, left : left + width]
                for c in range(width):
                    tile[c, r] = row[c]
                for c in range(width):
                    good &= 0.0 <= row[c] < np.inf
            for c in range(width):
                column = tile[c]
                target = out[left + c, start + top : start + top + height]
                for r in range(height):
                    target[r] = column[r]
    return good
