"""Jitted kernels of the published methods: sums in float64, of the float32 working copy."""

import numpy as np

from permsolve.jit import njit
from permsolve.kernels.scoring import group_values

# Rows handled at once, so that the thresholds of two groups stay in the cache.
BLOCK = 256
# Gains below this share of what is compared are rounding.
TOLERANCE = 1e-12
_REASSOCIATE = {"reassoc", "nsz", "nnan", "ninf"}  # saliencies are finite: sums may be vectorised


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _sum_of_maxima(threshold, column):
    total = 0.0
    for r in range(threshold.shape[0]):
        total += np.float64(max(threshold[r], column[r]))
    return total


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _insert(column, row, carry):
    """Leave the larger of each two in ``row``, the smaller in ``carry`` (apart from both, or it is not vectorised)."""
    for r in range(row.shape[0]):
        value = column[r]
        held = row[r]
        carry[r] = min(value, held)
        row[r] = max(value, held)


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _largest_of_others(column, kept, dropped, out):
    """The n-th largest without one column, from the n-th (``kept``) and the next (``dropped``) with it."""
    for r in range(out.shape[0]):
        out[r] = dropped[r] if column[r] >= kept[r] else kept[r]


@njit(cache=True, nogil=True)
def _medians(x, group, start, length, out):
    """:func:`_thresholds` at 2:4: without one column the second largest is the median of three."""
    a = x[group[0], start : start + length]
    b = x[group[1], start : start + length]
    c = x[group[2], start : start + length]
    d = x[group[3], start : start + length]
    first = out[0]
    second = out[1]
    third = out[2]
    fourth = out[3]
    for r in range(length):
        high1 = max(a[r], b[r])
        low1 = min(a[r], b[r])
        high2 = max(c[r], d[r])
        low2 = min(c[r], d[r])
        first[r] = max(low2, min(high2, b[r]))
        second[r] = max(low2, min(high2, a[r]))
        third[r] = max(low1, min(high1, d[r]))
        fourth[r] = max(low1, min(high1, c[r]))


@njit(cache=True, nogil=True)
def _thresholds(x, group, start, length, n, top, out):
    """Write into ``out[p, :length]`` the n-th largest, per row, of a group without its p-th column."""
    if n == 2 and group.shape[0] == 4:
        _medians(x, group, start, length, out)
        return
    top[: n + 1, :length] = 0
    for position in range(group.shape[0]):
        _insert(x[group[position], start : start + length], top[0, :length], top[n + 1, :length])
        for k in range(1, min(n + 1, position + 1)):
            _insert(top[n + 2 - k % 2, :length], top[k, :length], top[n + 1 + k % 2, :length])
    for position in range(group.shape[0]):
        column = x[group[position], start : start + length]
        _largest_of_others(column, top[n - 1, :length], top[n, :length], out[position, :length])


@njit(cache=True, nogil=True)
def best_swaps(x, groups, windows, which, n, columns, gains, choices):
    """The best swap of two columns of each pair of groups.

    Parameters
    ----------
    x : ndarray of float32, shape (columns with padding, rows), C order, read-only
        Saliency, columns first.
    groups : ndarray of int64, shape (G, M)
        Group matrix; padding columns (``columns`` and higher) do not move.
    windows : ndarray of int32, shape (W, 2)
        All pairs of groups.
    which : ndarray of int64
        The pairs to look at.
    n, columns : int
        Entries kept per group and row; number of columns without padding.
    gains : ndarray of float64, shape (W,)
        Receives the gain of the best swap, 0 when none is positive.
    choices : ndarray of int16, shape (W,)
        Receives the swap, as position in the first group times M plus position in the second.
    """
    rows = x.shape[1]
    m = groups.shape[1]
    top = np.empty((n + 3, BLOCK), x.dtype)
    limits_a = np.empty((m, BLOCK), x.dtype)
    limits_b = np.empty((m, BLOCK), x.dtype)
    swapped = np.empty((m, m))
    held_a = np.empty(m)
    held_b = np.empty(m)
    for k in range(which.shape[0]):
        window = which[k]
        a = groups[windows[window, 0]]
        b = groups[windows[window, 1]]
        swapped[:] = 0.0
        held_a[:] = 0.0
        held_b[:] = 0.0
        for start in range(0, rows, BLOCK):
            length = min(BLOCK, rows - start)
            stop = start + length
            _thresholds(x, a, start, length, n, top, limits_a)
            _thresholds(x, b, start, length, n, top, limits_b)
            for i in range(m):
                held_a[i] += _sum_of_maxima(limits_a[i, :length], x[a[i], start:stop])
                held_b[i] += _sum_of_maxima(limits_b[i, :length], x[b[i], start:stop])
                for j in range(m):
                    swapped[i, j] += _sum_of_maxima(limits_a[i, :length], x[b[j], start:stop])
                    swapped[i, j] += _sum_of_maxima(limits_b[j, :length], x[a[i], start:stop])
        best = 0.0
        choice = 0
        for i in range(m):
            for j in range(m):
                held = held_a[i] + held_b[j]
                gain = swapped[i, j] - held
                if gain > best and gain > TOLERANCE * held and a[i] < columns and b[j] < columns:
                    best = gain
                    choice = i * m + j
        gains[window] = best
        choices[window] = choice


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _kept_2_4(a, b, c, d):
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
def score(x, groups, n, out):
    """What each group keeps, as :func:`permsolve.kernels.scoring.group_values` but faster at 2:4."""
    if n != 2 or groups.shape[1] != 4:
        group_values(x, groups, n, out)
        return
    for g in range(groups.shape[0]):
        out[g] = _kept_2_4(x[groups[g, 0]], x[groups[g, 1]], x[groups[g, 2]], x[groups[g, 3]])


@njit(cache=True, nogil=True)
def best_partition(values, partitions, allowed):
    """Index and gain of the best allowed partition over the first one; 0 when none is better.

    ``values`` holds what each candidate group keeps, ``partitions`` the candidates that make up each partition.
    """
    now = 0.0
    for part in range(partitions.shape[1]):
        now += values[partitions[0, part]]
    best = now + TOLERANCE * now
    choice = 0
    for p in range(partitions.shape[0]):
        if not allowed[p]:
            continue
        total = 0.0
        for part in range(partitions.shape[1]):
            total += values[partitions[p, part]]
        if total > best:
            best = total
            choice = p
    return choice, best - now if choice > 0 else 0.0


@njit(cache=True, nogil=True)
def best_partitions(x, groups, windows, which, n, columns, candidates, partitions, allowed, gains, choices):
    """The best partition of the columns of each window of groups.

    Parameters
    ----------
    x, groups, windows, which, n, columns
        As for :func:`best_swaps`, with windows of any number of groups.
    candidates : ndarray of int64, shape (subsets, M)
        All sets of M positions in a window.
    partitions : ndarray of int32, shape (P, groups in a window)
        Candidates that make up each partition, what is there now first.
    allowed : ndarray of bool, shape (P,)
        The partitions that leave the padding together, for windows that have it.
    gains, choices : ndarray of float64 and int16, shape (W,)
        Receive the gain of the best partition, 0 when none is better, and which it is.
    """
    m = groups.shape[1]
    size = windows.shape[1]
    inside = np.empty(size * m, np.int64)
    sets = np.empty(candidates.shape, np.int64)
    values = np.empty(candidates.shape[0])
    everything = np.ones(allowed.shape[0], np.bool_)
    for k in range(which.shape[0]):
        window = which[k]
        for part in range(size):
            inside[part * m : (part + 1) * m] = groups[windows[window, part]]
        for s in range(candidates.shape[0]):
            for position in range(m):
                sets[s, position] = inside[candidates[s, position]]
        score(x, sets, n, values)
        padded = inside[size * m - 1] >= columns
        choice, gain = best_partition(values, partitions, allowed if padded else everything)
        gains[window] = gain
        choices[window] = choice


@njit(cache=True, nogil=True)
def disjoint(windows, order, group_count):
    """The windows of ``order``, in this order, that share no group with one taken before."""
    taken = np.zeros(group_count, np.bool_)
    chosen = np.empty(min(order.shape[0], group_count // windows.shape[1]), np.int64)
    count = 0
    for k in range(order.shape[0]):
        if count == chosen.shape[0]:
            break
        free = True
        for part in range(windows.shape[1]):
            if taken[windows[order[k], part]]:
                free = False
        if free:
            for part in range(windows.shape[1]):
                taken[windows[order[k], part]] = True
            chosen[count] = order[k]
            count += 1
    return chosen[:count]
