"""Kernels that price groups: reduced costs of all of them, or of all that hold given pairs."""

import numpy as np

from permsolve.jit import njit
from permsolve.kernels.absolute_differences import screened_differences
from permsolve_solvers.set_partition._kernels import beyond_prices

_NEVER = 1 << 62
# Levels that a column may add, more or less: limits below twice that or above half of it rule out nothing.
_MOST = 2.0**58
_REASSOCIATE = {"reassoc", "nsz", "nnan", "ninf"}  # saliencies are finite: sums may be vectorised


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
def price_list(groups, values, duals, best, place, most):
    """Reduced costs of a list of groups: the largest for each pair of leading columns, and for each column.

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
    most : ndarray of float64, shape (C,)
        Raised to the largest reduced cost of the groups that hold the column.
    """
    for k in range(groups.shape[0]):
        reduced = beyond_prices(groups, values, duals, k)
        for position in range(groups.shape[1]):
            most[groups[k, position]] = max(most[groups[k, position]], reduced)
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
        reduced = beyond_prices(groups, values, duals, k)
        if reduced >= threshold:
            if count < out.shape[0]:
                out[count] = k
            count += 1
    return count


@njit(cache=True, nogil=True)
def _levels(worth, level):
    """Less than the levels that ``worth`` is worth, by more than the rounding of what it is compared with."""
    return np.int64(max(-2.0 * _MOST, min(0.5 * _MOST, np.floor(worth / level) - 1.0)))


@njit(cache=True, nogil=True)
def _lowest_bit(mask):
    """Which bit of a mask other than 0 is the lowest that is set."""
    number = 0
    while not (mask >> number) & 1:
        number += 1
    return number


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _kept(x, a, b, c, d):
    """What a group of four keeps, two per row, added up in float64 in any order."""
    total = 0.0
    for r in range(x.shape[1]):
        high1 = max(x[a, r], x[b, r])
        low1 = min(x[a, r], x[b, r])
        high2 = max(x[c, r], x[d, r])
        low2 = min(x[c, r], x[d, r])
        total += np.float64(max(high1, high2)) + np.float64(max(min(high1, high2), max(low1, low2)))
    return total


@njit(cache=True, nogil=True)
def price_quads(x, coarse, unit, lost, padding, pairs, duals, threshold, worthless, best, mates, most, out):
    """Reduced costs of the groups of four, two kept per row, that begin with given pairs.

    With ``hi``, ``lo`` the larger and smaller entry of the pair (a, b) in a row, the group {a, b, c, d} keeps
    ``max(hi, c) + max(median(hi, lo, c), d)``: the second term is one maximum per row once (a, b, c) is fixed. On bytes
    its sum is half of the sums of both and of their absolute differences. What the bytes say, plus what they lose of
    each column, is never too little: only groups that it does not rule out are valued by ``x``.

    The bytes of every group are looked at. ``f(abc) + f(abd) - f(ab)`` bounds f(abcd), but at the prices of the linear
    programme it rules out no group of 256 x 256 uniform entries, and 16 % of those of a trained 128 x 256 weight, 7 %
    of its (a, b, c) as a whole (400 pairs at random): less than testing them would cost.

    Parameters
    ----------
    x : ndarray of float32, shape (C, rows), C order
        Saliency, columns first.
    coarse : ndarray of uint8, shape (C, rows padded with zeros to a multiple of ``STEP``), C order
        About ``x / unit``.
    unit : float
        What one level is worth.
    lost : ndarray of float64, shape (C,)
        At least the sum of ``max(0, x - unit * coarse)`` of each column.
    padding : int
        How many of the last columns are padding: a group holds all of them or none.
    pairs : ndarray of int64, shape (P, 2)
        The pairs a < b.
    duals : ndarray of float64, shape (C,)
        Price of each column.
    threshold : float
        Groups whose reduced cost is at least this are listed.
    worthless : float
        Groups whose reduced cost is at most this need not be found.
    best : ndarray of float64, shape (P,)
        Receives the largest reduced cost of the groups {a, b, c, d} with b < c < d.
    mates : ndarray of int64, shape (P, 2)
        Receives the c and d of it, -1 where no group is worth more than ``worthless``.
    most : ndarray of float64, shape (C,)
        Reduced costs that some group with the column is known to reach, raised to the largest of the groups looked at.
    out : ndarray of int16, shape (room, 4)
        Receives the groups listed, as far as there is room.

    Returns
    -------
    int
        How many groups reach the threshold.
    """
    columns, length = coarse.shape
    last = columns - 1
    first_padding = columns - padding
    half = 0.5 * unit
    # What d adds, in halves of a level and rounded up; impossible beyond the last column.
    addends = np.full(columns + 3, -_NEVER)
    for d in range(columns):
        total = np.int64(0)
        for r in range(length):
            total += np.int64(coarse[d, r])
        addends[d] = total + np.int64(max(-_MOST, min(_MOST, np.ceil((lost[d] - duals[d]) / half))))
    hi = np.empty(length, np.uint8)
    lo = np.empty(length, np.uint8)
    median = np.empty((3, length), np.uint8)
    base = np.empty(3, np.float64)
    listed = 0
    lowest = most.min()
    for p in range(pairs.shape[0]):
        a = pairs[p, 0]
        b = pairs[p, 1]
        for r in range(length):
            hi[r] = max(coarse[a, r], coarse[b, r])
            lo[r] = min(coarse[a, r], coarse[b, r])
        best[p] = worthless
        mates[p, 0] = -1
        mates[p, 1] = -1
        for begin in range(b + 1, last, 3):
            for k in range(3):
                c = min(begin + k, last - 1)
                column = coarse[c]
                row = median[k]
                total = np.int64(0)
                middle = np.int64(0)
                for r in range(length):
                    between = max(lo[r], min(hi[r], column[r]))
                    row[r] = between
                    middle += np.int64(between)
                    total += np.int64(max(hi[r], column[r]))
                base[k] = unit * (total + 0.5 * middle)
                for j in (a, b, c):
                    base[k] += lost[j] - duals[j]
            stale = True
            limits = (_NEVER, _NEVER, _NEVER)
            for start in range(begin + 1, columns, 4):
                if stale:
                    enough = min(best[p], lowest, threshold)
                    limits = (
                        _levels(enough - base[0], half),
                        _levels(enough - base[1], half),
                        _levels(enough - base[2], half),
                    )
                    stale = False
                mask = screened_differences(
                    median,
                    0,
                    coarse,
                    (start, min(start + 1, last), min(start + 2, last), min(start + 3, last)),
                    0,
                    length,
                    addends,
                    start,
                    limits,
                )
                while mask:
                    number = _lowest_bit(mask)
                    mask &= mask - 1
                    c = begin + number // 4
                    d = start + number % 4
                    if d <= c or d >= columns:
                        continue
                    held = 0
                    for column_number in (a, b, c, d):
                        if column_number >= first_padding:
                            held += 1
                    if held not in (0, padding):
                        continue
                    reduced = _kept(x, a, b, c, d) - duals[a] - duals[b] - duals[c] - duals[d]
                    for column_number in (a, b, c, d):
                        if reduced > most[column_number]:
                            most[column_number] = reduced
                            stale = True
                    if reduced > best[p]:
                        best[p] = reduced
                        mates[p, 0] = c
                        mates[p, 1] = d
                        stale = True
                    if reduced >= threshold:
                        if listed < out.shape[0]:
                            out[listed, 0] = a
                            out[listed, 1] = b
                            out[listed, 2] = c
                            out[listed, 3] = d
                        listed += 1
                if stale:
                    lowest = most.min()
    return listed
