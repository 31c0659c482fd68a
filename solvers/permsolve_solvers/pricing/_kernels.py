"""Kernels that price groups: reduced costs of all of them, or of all that hold given pairs."""

import numpy as np
from numba import njit

from permsolve.kernels.exchange import sums_of_maxima

# Rows whose float32 sum goes into a float64 one at a time: it bounds the rounding error.
BLOCK = 128


@njit(cache=True, nogil=True)
def combinations(columns, out):
    """Write all sets of ``out.shape[1]`` columns, ascending, in lexicographic order."""
    m = out.shape[1]
    chosen = np.arange(m)
    for k in range(out.shape[0]):
        for position in range(m):
            out[k, position] = chosen[position]
        position = m - 1
        while position >= 0 and chosen[position] == columns - m + position:
            position -= 1
        if position >= 0:
            chosen[position] += 1
            for later in range(position + 1, m):
                chosen[later] = chosen[later - 1] + 1


@njit(cache=True, nogil=True)
def price_list(groups, values, duals, best, place):
    """Reduced costs of a list of groups: the largest for each pair of leading columns.

    Parameters
    ----------
    groups : ndarray of int16, shape (K, M)
        Columns ascending in each group.
    values : ndarray of float64, shape (K,)
        What each is worth.
    duals : ndarray of float64, shape (C,)
        Price of each column.
    best : ndarray of float64, shape (C, C)
        ``best[i, j]`` is raised to the largest reduced cost of the groups whose first two columns are i and j.
    place : ndarray of int64, shape (C, C)
        Receives the number of that group.
    """
    for k in range(groups.shape[0]):
        reduced = values[k]
        for position in range(groups.shape[1]):
            reduced -= duals[groups[k, position]]
        i = groups[k, 0]
        j = groups[k, 1]
        if reduced > best[i, j]:
            best[i, j] = reduced
            place[i, j] = k


@njit(cache=True, nogil=True)
def list_above(groups, values, duals, threshold, out):
    """Write the numbers of the groups whose reduced cost is at least ``threshold``; how many there are."""
    count = 0
    for k in range(groups.shape[0]):
        reduced = values[k]
        for position in range(groups.shape[1]):
            reduced -= duals[groups[k, position]]
        if reduced >= threshold:
            if count < out.shape[0]:
                out[count] = k
            count += 1
    return count


@njit(cache=True, nogil=True)
def price_quads(x, padding, pairs, duals, threshold, best, mates, out):
    """Reduced costs of the groups of four, two kept per row, that begin with given pairs.

    With ``hi``, ``lo`` the larger and smaller entry of the pair (a, b) in a row, the group {a, b, c, d} keeps
    ``max(hi, c) + max(median(hi, lo, c), d)``: the second term is one maximum per row once (a, b, c) is fixed.

    Parameters
    ----------
    x : ndarray of float32, shape (C, rows), C order
        Saliency, columns first.
    padding : int
        How many of the last columns are padding: a group holds all of them or none.
    pairs : ndarray of int64, shape (P, 2)
        The pairs a < b.
    duals : ndarray of float64, shape (C,)
        Price of each column.
    threshold : float
        Groups whose reduced cost is at least this are listed.
    best : ndarray of float64, shape (P,)
        Receives the largest reduced cost of the groups {a, b, c, d} with b < c < d; -inf where there is none.
    mates : ndarray of int64, shape (P, 2)
        Receives the c and d of it.
    out : ndarray of int16, shape (room, 4)
        Receives the groups listed, as far as there is room.

    Returns
    -------
    int
        How many groups reach the threshold.
    """
    columns, rows = x.shape
    first_padding = columns - padding
    hi = np.empty(rows, np.float32)
    lo = np.empty(rows, np.float32)
    median = np.empty((4, rows), np.float32)
    base = np.empty(4, np.float64)
    sums = np.empty((4, columns + 1), np.float64)
    listed = 0
    for p in range(pairs.shape[0]):
        a = pairs[p, 0]
        b = pairs[p, 1]
        for r in range(rows):
            hi[r] = max(x[a, r], x[b, r])
            lo[r] = min(x[a, r], x[b, r])
        best[p] = -np.inf
        mates[p, 0] = -1
        mates[p, 1] = -1
        for begin in range(b + 1, columns - 1, 4):
            for k in range(4):
                c = min(begin + k, columns - 2)
                column = x[c]
                row = median[k]
                total = 0.0
                for r in range(rows):
                    row[r] = max(lo[r], min(hi[r], column[r]))
                    total += np.float64(max(hi[r], column[r]))
                base[k] = total - duals[a] - duals[b] - duals[c]
            sums[:] = 0.0
            for start in range(0, rows, BLOCK):
                stop = min(rows, start + BLOCK)
                for d in range(begin + 1, columns, 2):
                    s00, s01, s10, s11, s20, s21, s30, s31 = sums_of_maxima(
                        median[0, start:stop],
                        median[1, start:stop],
                        median[2, start:stop],
                        median[3, start:stop],
                        x[d, start:stop],
                        x[min(d + 1, columns - 1), start:stop],
                    )
                    sums[0, d] += s00
                    sums[0, d + 1] += s01
                    sums[1, d] += s10
                    sums[1, d + 1] += s11
                    sums[2, d] += s20
                    sums[2, d + 1] += s21
                    sums[3, d] += s30
                    sums[3, d + 1] += s31
            for k in range(min(4, columns - 1 - begin)):
                c = begin + k
                for d in range(c + 1, columns):
                    reduced = sums[k, d] + base[k] - duals[d]
                    if reduced <= best[p] and reduced < threshold:
                        continue
                    held = 0
                    for column_number in (a, b, c, d):
                        if column_number >= first_padding:
                            held += 1
                    if held not in (0, padding):
                        continue
                    if reduced > best[p]:
                        best[p] = reduced
                        mates[p, 0] = c
                        mates[p, 1] = d
                    if reduced >= threshold:
                        if listed < out.shape[0]:
                            out[listed, 0] = a
                            out[listed, 1] = b
                            out[listed, 2] = c
                            out[listed, 3] = d
                        listed += 1
    return listed
