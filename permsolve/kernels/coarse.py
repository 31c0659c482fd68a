"""A coarse picture of the saliency, one byte an entry, for searches that can do with less than float32.

Bytes take a quarter of the memory, and sums of their maxima come four to five times as fast
(:mod:`permsolve.kernels.absolute_differences`). Rounding to 255 levels of one unit moves the gain of a swap by far
less than what separates good partitions from each other, and entries so large that the pattern keeps them wherever
they stand need no level of their own: each row is cut off above them.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from permsolve.kernels.absolute_differences import STEP
from permsolve.pattern import Pattern

LEVELS = 255
# Of the share of entries that the pattern keeps, the largest so many in a hundred are cut off to their smallest.
CUT_PERCENT = 3.0
# Columns that the cuts are read from: enough for the quantile, fewer where there are many rows.
CUT_COLUMNS = 256
CUT_ENTRIES = 1 << 24


@njit(cache=True, nogil=True)
def _round(x, cuts, per_unit, out):
    """``out[i, r] = round(min(x[i, r], cuts[r]) * per_unit)``."""
    for i in range(x.shape[0]):
        source = x[i]
        target = out[i]
        for r in range(x.shape[1]):
            target[r] = np.uint8(min(source[r], cuts[r]) * per_unit + np.float32(0.5))


def coarse(x: NDArray[np.float32], columns: int, pattern: Pattern) -> tuple[NDArray[np.uint8], float]:
    """The saliency in 255 levels.

    Parameters
    ----------
    x : ndarray of float32, shape (columns with padding, rows)
        Saliency, columns first, >= 0 and finite.
    columns : int
        How many of them are no padding.
    pattern : Pattern
        Says how large an entry is kept in any case.

    Returns
    -------
    bytes : ndarray of uint8, shape (columns with padding, rows padded to a multiple of 32)
        Read-only.
    unit : float
        What one level is worth, > 0.
    """
    width, rows = x.shape
    sample = np.linspace(0, columns - 1, max(1, min(columns, CUT_COLUMNS, CUT_ENTRIES // rows)), dtype=np.int64)
    place = round((len(sample) - 1) * (1.0 - CUT_PERCENT / 100.0 * pattern.n / pattern.m))
    cuts = np.partition(x[sample], place, axis=0)[place]
    unit = float(cuts.max()) / LEVELS or 1.0
    out = np.zeros((width, -(-rows // STEP) * STEP), np.uint8)
    _round(x, cuts, np.float32(1.0 / unit), out)
    out.flags.writeable = False
    return out, unit
