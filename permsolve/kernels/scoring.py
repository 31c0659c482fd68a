"""The one scorer: what each group keeps, accumulated in float64."""

import numpy as np

from permsolve.jit import njit

BLOCK = 256


@njit(cache=True, nogil=True, inline="always")
def _largest(x, group, start, length, n, top):
    """Fill ``top[k, :length]`` with the k-th largest entry per row, k < n, of one group's columns."""
    top[:n, :length] = 0
    for position in range(group.shape[0]):
        column = x[group[position], start : start + length]
        for k in range(min(n, position + 1)):
            row = top[k]
            # One insertion step for a whole block of rows: minima and maxima, no branches. The first pass
            # works on the column itself, so what is displaced is carried in the scratch row n.
            carry = top[n]
            if k == 0:
                for r in range(length):
                    value = column[r]
                    held = row[r]
                    row[r] = max(value, held)
                    carry[r] = min(value, held)
            else:
                for r in range(length):
                    value = carry[r]
                    held = row[r]
                    row[r] = max(value, held)
                    carry[r] = min(value, held)


@njit(cache=True, nogil=True)
def _score_2_4(a, b, c, d):
    """Sum over rows of the two largest of four."""
    total = 0.0
    for r in range(a.shape[0]):
        high1 = max(a[r], b[r])
        low1 = min(a[r], b[r])
        high2 = max(c[r], d[r])
        low2 = min(c[r], d[r])
        second = max(min(high1, high2), max(low1, low2))
        total += np.float64(max(high1, high2)) + np.float64(second)
    return total


@njit(cache=True, nogil=True)
def group_values(x, groups, n, out):
    """Write the saliency that each group keeps into ``out``.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (columns with padding, rows), C order
        Saliency, columns first, >= 0.
    groups : ndarray of int64, shape (count, M)
        Column numbers of each group.
    n : int
        Entries kept per group and row.
    out : ndarray of float64, shape (count,)
        Receives ``sum_r (sum of the n largest of x[group, r])``.
    """
    rows = x.shape[1]
    m = groups.shape[1]
    top = np.empty((n + 1, BLOCK), x.dtype)
    for g in range(groups.shape[0]):
        group = groups[g]
        if n == 2 and m == 4:
            out[g] = _score_2_4(x[group[0]], x[group[1]], x[group[2]], x[group[3]])
            continue
        total = 0.0
        for start in range(0, rows, BLOCK):
            length = min(BLOCK, rows - start)
            _largest(x, group, start, length, n, top)
            for k in range(n):
                row = top[k]
                for r in range(length):
                    total += np.float64(row[r])
        out[g] = total
