"""The exchange matrix: what every replacement of one column by another would gain.

For a column ``i`` of group ``g`` let ``T_i`` be, per row, the N-th largest entry of the other M - 1
columns of ``g``. Putting column ``x`` in the place of ``i`` changes what ``g`` keeps by

    E[i, x] = sum_r max(T_i[r], X[r, x]) - sum_r max(T_i[r], X[r, i])

so swapping ``i`` and ``j`` of two groups gains ``E[i, j] + E[j, i]``, and taking one column out of every
group and putting them back in the best way is a linear assignment problem on a submatrix of E.
"""

import numpy as np
from numba import types
from numba.extending import overload

from permsolve.jit import njit
from permsolve.kernels.absolute_differences import TILE, tile_of_differences

# Row block and batch of members: a batch's thresholds (BATCH x BLOCK floats) stay in the first-level cache.
BLOCK = 512
BATCH = 8
# The same for bytes, in bytes.
COARSE_BLOCK = 2048
COARSE_BATCH = 12
_REASSOCIATE = {"reassoc", "nsz", "nnan", "ninf"}  # saliencies are finite: sums may be vectorised


@njit(cache=True, nogil=True)
def _thresholds(x, group, n, start, length, top, out):
    """Write into ``out[p, :length]`` the n-th largest, per row, of a group without its p-th column."""
    m = group.shape[0]
    if m == 2:
        out[0, :length] = x[group[1], start : start + length]
        out[1, :length] = x[group[0], start : start + length]
        return
    if n == 2 and m == 4:
        a = x[group[0], start : start + length]
        b = x[group[1], start : start + length]
        c = x[group[2], start : start + length]
        d = x[group[3], start : start + length]
        t0 = out[0]
        t1 = out[1]
        t2 = out[2]
        t3 = out[3]
        for r in range(length):
            high1 = max(a[r], b[r])
            low1 = min(a[r], b[r])
            high2 = max(c[r], d[r])
            low2 = min(c[r], d[r])
            # The second largest of three (a median): of b, c, d; of a, c, d; of a, b, d; of a, b, c.
            t0[r] = max(low2, min(high2, b[r]))
            t1[r] = max(low2, min(high2, a[r]))
            t2[r] = max(low1, min(high1, d[r]))
            t3[r] = max(low1, min(high1, c[r]))
        return
    # In general: the (n+1) largest of the whole group by insertion; leaving out a column that is among the
    # n largest makes the (n+1)-th the threshold, otherwise the n-th stays it.
    top[: n + 1, :length] = 0
    carry = top[n + 1]
    for position in range(m):
        carry[:length] = x[group[position], start : start + length]
        for k in range(min(n + 1, position + 1)):
            row = top[k]
            for r in range(length):
                value = carry[r]
                held = row[r]
                row[r] = max(value, held)
                carry[r] = min(value, held)
    kept = top[n - 1]
    dropped = top[n]
    for position in range(m):
        column = x[group[position], start : start + length]
        target = out[position]
        for r in range(length):
            target[r] = dropped[r] if column[r] >= kept[r] else kept[r]


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def sums_of_maxima(t0, t1, t2, t3, u, v):
    """Eight sums of maxima at once: four threshold rows against two columns."""
    zero = np.float32(0.0)
    s00 = zero
    s01 = zero
    s10 = zero
    s11 = zero
    s20 = zero
    s21 = zero
    s30 = zero
    s31 = zero
    for r in range(t0.shape[0]):
        s00 += max(t0[r], u[r])
        s01 += max(t0[r], v[r])
        s10 += max(t1[r], u[r])
        s11 += max(t1[r], v[r])
        s20 += max(t2[r], u[r])
        s21 += max(t2[r], v[r])
        s30 += max(t3[r], u[r])
        s31 += max(t3[r], v[r])
    return s00, s01, s10, s11, s20, s21, s30, s31


@njit(cache=True, nogil=True)
def _sum_of_maxima(threshold, column):
    total = 0.0
    for r in range(threshold.shape[0]):
        total += np.float64(max(threshold[r], column[r]))
    return total


@njit(cache=True, nogil=True)
def _fill_batch(x, groups, members, n, start, length, top, of_group, batch):
    """Write into ``batch[k, :length]`` the thresholds of member k, whose group's are computed once for all of them."""
    last_group = -1
    for k in range(members.shape[0]):
        g = members[k, 0]
        if g != last_group:
            _thresholds(x, groups[g], n, start, length, top, of_group)
            last_group = g
        batch[k, :length] = of_group[members[k, 1], :length]


@njit(cache=True, nogil=True)
def exchange_fine(x, groups, members, n, columns, first, out, targets):
    """Rows of the exchange matrix of a float32 saliency; see :func:`exchange`.

    Parameters
    ----------
    x : ndarray of float32, shape (columns with padding, rows), C order
        Saliency, columns first, >= 0 and finite.
    groups : ndarray of int64, shape (G, M)
        Group matrix.
    members : ndarray of int64, shape (count, 2)
        The members to compute, as (group, position in group); those of a group one after another.
    n : int
        Entries kept per group and row.
    columns : ndarray of int64, shape (width,)
        The columns that may take a member's place.
    first : int
        Where in a row of ``out`` to write the first of them.
    out : ndarray of float32, shape (any, >= first + width)
        ``out[targets[k], first + j]`` receives ``E[member k, columns[j]]``.
    targets : ndarray of int64, shape (count,)
        Row of ``out`` for each member.
    """
    rows = x.shape[1]
    m = groups.shape[1]
    count = members.shape[0]
    width = columns.shape[0]
    block = min(BLOCK, rows)
    top = np.empty((n + 2, block), np.float32)
    of_group = np.empty((m, block), np.float32)
    batch = np.zeros((BATCH, block), np.float32)
    held = np.empty(BATCH, np.float64)
    # Tiles of 4 x 2 may reach past the batch and past the columns: there is room for what they add there.
    sums = np.empty((BATCH, width + 1), np.float32)
    for begin in range(0, count, BATCH):
        size = min(BATCH, count - begin)
        own = members[begin : begin + size]
        held[:] = 0.0
        sums[:] = 0.0
        for start in range(0, rows, block):
            length = min(block, rows - start)
            _fill_batch(x, groups, own, n, start, length, top, of_group, batch)
            for k in range(size):
                column = groups[own[k, 0], own[k, 1]]
                held[k] += _sum_of_maxima(batch[k, :length], x[column, start : start + length])
            for j in range(0, width, 2):
                u = x[columns[j], start : start + length]
                v = x[columns[min(j + 1, width - 1)], start : start + length]
                for k in range(0, size, 4):
                    s00, s01, s10, s11, s20, s21, s30, s31 = sums_of_maxima(
                        batch[k, :length], batch[k + 1, :length], batch[k + 2, :length], batch[k + 3, :length], u, v
                    )
                    sums[k, j] += s00
                    sums[k, j + 1] += s01
                    sums[k + 1, j] += s10
                    sums[k + 1, j + 1] += s11
                    sums[k + 2, j] += s20
                    sums[k + 2, j + 1] += s21
                    sums[k + 3, j] += s30
                    sums[k + 3, j + 1] += s31
        for k in range(size):
            row = out[targets[begin + k]]
            for j in range(width):
                row[first + j] = np.float32(np.float64(sums[k, j]) - held[k])


@njit(cache=True, nogil=True)
def exchange_coarse(x, groups, members, n, columns, first, out, targets):
    """Rows of the exchange matrix of a coarse saliency; see :func:`exchange`.

    Since ``max(a, b) = (a + b + |a - b|) / 2``, sums of absolute differences of bytes are all it takes. The sums of
    whole columns are left out of the entries: they cancel in every exchange.

    Parameters
    ----------
    x : ndarray of uint8, shape (columns with padding, rows, padded to a multiple of 32), C order
        See :mod:`permsolve.kernels.coarse`.
    groups, members, n, columns, first, out, targets
        As of :func:`exchange_fine`; an entry is ``E[i, x] - (sum(X[:, x]) - sum(X[:, i])) / 2``.
    """
    tall, wide = TILE
    rows = x.shape[1]
    m = groups.shape[1]
    count = members.shape[0]
    width = columns.shape[0]
    block = min(COARSE_BLOCK, rows)
    top = np.empty((n + 2, block), np.uint8)
    of_group = np.empty((m, block), np.uint8)
    batch = np.zeros((COARSE_BATCH, block), np.uint8)
    column = np.empty(COARSE_BATCH, np.int64)
    held = np.empty(COARSE_BATCH, np.int64)
    # Tiles may reach past the batch and past the columns: there is room for what they add there.
    sums = np.empty((COARSE_BATCH, width + wide - 1), np.int64)
    for begin in range(0, count, COARSE_BATCH):
        size = min(COARSE_BATCH, count - begin)
        own = members[begin : begin + size]
        column[:] = columns[0]
        for k in range(size):
            column[k] = groups[own[k, 0], own[k, 1]]
        held[:] = 0
        sums[:] = 0
        for start in range(0, rows, block):
            length = min(block, rows - start)
            _fill_batch(x, groups, own, n, start, length, top, of_group, batch)
            for k in range(0, size, tall):
                theirs = (column[k], column[k + 1], column[k + 2], column[k + 2])
                tile = tile_of_differences(batch, k, x, theirs, start, length)
                for a in range(tall):
                    held[k + a] += tile[a * wide + a]
            for j in range(0, width, wide):
                last = width - 1
                four = (columns[j], columns[min(j + 1, last)], columns[min(j + 2, last)], columns[min(j + 3, last)])
                for k in range(0, size, tall):
                    tile = tile_of_differences(batch, k, x, four, start, length)
                    for a in range(tall):
                        for b in range(wide):
                            sums[k + a, j + b] += tile[a * wide + b]
        for k in range(size):
            row = out[targets[begin + k]]
            for j in range(width):
                row[first + j] = np.float32(0.5) * np.float32(sums[k, j] - held[k])


def exchange(x, groups, members, n, columns, first, out, targets):
    """Rows of the exchange matrix, by the kernel for the kind of ``x``, a float32 or a coarse (uint8) saliency.

    For parameters see :func:`exchange_fine` and :func:`exchange_coarse`.
    """
    kernel = exchange_coarse if x.dtype == np.uint8 else exchange_fine
    kernel(x, groups, members, n, columns, first, out, targets)


@overload(exchange)
def _exchange(x, groups, members, n, columns, first, out, targets):
    kernel = exchange_coarse if x.dtype == types.uint8 else exchange_fine

    def call(x, groups, members, n, columns, first, out, targets):
        kernel(x, groups, members, n, columns, first, out, targets)

    return call
