"""A coarse picture of the saliency, in bytes, for searches that can do with less than float32.

Bytes take a quarter of the memory, and sums of their maxima come six to eight times as fast
(:mod:`permsolve.kernels.absolute_differences`). Entries are rounded to whole multiples of one unit. A row whose entries
reach beyond 255 of them takes several rows of bytes, which hold a level L as ``min(L, 255)``, ``min(L - 255, 255)`` and
so on, none below 0: these maps are monotone and add up to L, so that any sum of the largest, over the rows of bytes,
is what it would be of the levels. Entries so large that the pattern keeps them wherever they stand need no level of
their own: each row is cut off above them.
"""

import numpy as np
from numpy.typing import NDArray

from permsolve.jit import njit
from permsolve.kernels.absolute_differences import STEP
from permsolve.pattern import Pattern

LEVELS = 255
# Of the entries that the pattern keeps, the largest so many in a hundred are cut off to their smallest.
CUT_PERCENT = 3.0
# Columns that the cuts are read from: enough for the quantile, fewer where there are many rows.
CUT_COLUMNS = 256
CUT_ENTRIES = 1 << 24
# Steps of the bisection for the unit.
BISECTIONS = 24


@njit(cache=True, nogil=True)
def _fill(x, cuts, per_unit, sources, below, out):
    """``out[i, b]`` is by how much the level of ``x[i, sources[b]]`` exceeds ``below[b]``, from 0 to 255."""
    for i in range(x.shape[0]):
        source = x[i]
        target = out[i]
        for b in range(sources.shape[0]):
            r = sources[b]
            level = int(min(source[r], cuts[r]) * per_unit + np.float32(0.5)) - below[b]
            target[b] = np.uint8(max(0, min(LEVELS, level)))


def coarse(
    x: NDArray[np.float32], columns: int, pattern: Pattern, breadth: float = 1.0
) -> tuple[NDArray[np.uint8], float]:
    """The saliency in whole multiples of one unit.

    Parameters
    ----------
    x : ndarray of float32, shape (columns with padding, rows)
        Saliency, columns first, >= 0 and finite.
    columns : int
        How many of them are no padding.
    pattern : Pattern
        Says how large an entry is kept in any case.
    breadth : float, default 1
        Most rows of bytes per row of the saliency, >= 1. The more there are, the smaller is the unit.

    Returns
    -------
    bytes : ndarray of uint8, shape (columns with padding, rows of bytes padded to a multiple of 32)
        Read-only.
    unit : float
        What one level is worth, > 0.
    """
    width, rows = x.shape
    sample = np.linspace(0, columns - 1, max(1, min(columns, CUT_COLUMNS, CUT_ENTRIES // rows)), dtype=np.int64)
    place = round((len(sample) - 1) * (1.0 - CUT_PERCENT / 100.0 * pattern.n / pattern.m))
    cuts = np.partition(x[sample], place, axis=0)[place]
    unit = _unit(cuts, breadth)
    planes = np.maximum(1, np.ceil(cuts / (LEVELS * unit) - 1e-6)).astype(np.int64)
    order = np.arange(rows)
    sources = np.concatenate([order[planes > plane] for plane in range(int(planes.max()))])
    below = LEVELS * np.repeat(np.arange(int(planes.max())), [(planes > p).sum() for p in range(int(planes.max()))])
    out = np.zeros((width, -(-len(sources) // STEP) * STEP), np.uint8)
    _fill(x, cuts, np.float32(1.0 / unit), sources, below, out)
    out.flags.writeable = False
    return out, unit


def _unit(cuts: NDArray[np.float32], breadth: float) -> float:
    """The smallest unit, up to 1 %, at which the rows of bytes are not more than ``breadth`` per row."""
    largest = float(cuts.max())
    if largest == 0.0:
        return 1.0
    high = largest / LEVELS  # one row of bytes for each
    low = high / (breadth * cuts.shape[0])
    for _ in range(BISECTIONS):
        middle = (low * high) ** 0.5
        wanted = np.maximum(1, np.ceil(cuts / (LEVELS * middle) - 1e-6)).sum()
        low, high = (low, middle) if wanted <= breadth * cuts.shape[0] else (middle, high)
    return high
