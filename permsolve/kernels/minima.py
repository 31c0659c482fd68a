"""Sums of minima of all pairs of columns."""

import numpy as np

from permsolve.jit import njit

BLOCK = 256
_REASSOCIATE = {"reassoc", "nsz", "nnan", "ninf"}  # saliencies are finite: sums may be vectorised


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _minima(u, v0, v1, v2, v3):
    zero = np.float32(0.0)
    s0 = zero
    s1 = zero
    s2 = zero
    s3 = zero
    for r in range(u.shape[0]):
        s0 += min(u[r], v0[r])
        s1 += min(u[r], v1[r])
        s2 += min(u[r], v2[r])
        s3 += min(u[r], v3[r])
    return s0, s1, s2, s3


@njit(cache=True, nogil=True)
def sums_of_minima(x, first, last, out):
    """Write ``sum_r min(x[i, r], x[j, r])`` into ``out[i, j]`` for ``first <= i < last`` and j >= i.

    Parameters
    ----------
    x : ndarray of float32, shape (columns, rows), C order
        Columns first, >= 0. Sums of up to ``BLOCK`` rows are in float32, larger ones in float64.
    first, last : int
        Rows of ``out`` to fill.
    out : ndarray of float64, shape (columns, columns)
        Receives the sums; the diagonal receives zeros.
    """
    columns, rows = x.shape
    for i in range(first, last):
        out[i, i:] = 0.0
        for start in range(0, rows, BLOCK):
            stop = min(rows, start + BLOCK)
            u = x[i, start:stop]
            for j in range(i + 1, columns, 4):
                s0, s1, s2, s3 = _minima(
                    u,
                    x[j, start:stop],
                    x[min(j + 1, columns - 1), start:stop],
                    x[min(j + 2, columns - 1), start:stop],
                    x[min(j + 3, columns - 1), start:stop],
                )
                out[i, j] += s0
                if j + 1 < columns:
                    out[i, j + 1] += s1
                if j + 2 < columns:
                    out[i, j + 2] += s2
                if j + 3 < columns:
                    out[i, j + 3] += s3
