"""Rejection-free sampling of swaps on the exchange matrix.

All kernels share the arrays of :class:`permsolve_solvers.moves.state.State`. In the exchange matrix the entry of two
columns of one group is ``SAME``: such a swap changes nothing and is never drawn.
"""

import numpy as np

from permsolve.jit import njit
from permsolve.kernels.exchange import exchange
from permsolve.kernels.scoring import group_values

SAME = np.float32(-1e30)
# A loss of more temperatures than this is never accepted (its probability is below 1e-26).
FORBIDDEN = np.float32(-60.0)
# Float32 sums carry errors of about 1e-7 of a group's value: a smaller gain is none.
NOISE = 1e-6
# A better sum of float64 values than the best is no better when it differs by less than this share of a group's.
ROUNDING = 1e-9
# What an event costs beside the computation of exchange rows, in maxima-and-additions: per column ...
EVENT_WORK = 1500
# ... and in all.
EVENT_START = 20_000
# Columns whose rates are computed together.
BATCH = 8
_REASSOCIATE = {"reassoc", "nsz", "nnan", "ninf", "contract"}


@njit(cache=True, nogil=True, inline="always")
def _rate(gain, inverse, noise):
    """Rate of a swap: ``exp(min(gain * inverse, 0))`` to about 1 %, in plain arithmetic, so that loops vectorise.

    0 for what is forbidden, and for gains below the noise: exchanging equal columns leads nowhere.
    """
    exponent = gain * inverse
    y = max(min(exponent, np.float32(0.0)), FORBIDDEN) * np.float32(1.0 / 256.0)
    z = np.float32(1.0) + y * (np.float32(1.0) + np.float32(0.5) * y)
    z *= z
    z *= z
    z *= z
    z *= z
    z *= z
    z *= z
    z *= z
    z *= z
    return z if exponent > FORBIDDEN and abs(gain) > noise else np.float32(0.0)


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _sum_of_rates(there, back, inverse, noise):
    total = np.float32(0.0)
    for j in range(there.shape[0]):
        total += _rate(there[j] + back[j], inverse, noise)
    return total


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _add_rates(rates, there, back, inverse, noise, sign):
    """Add the rates of one column's swaps to those of its partners, or take them away; their total."""
    total = np.float32(0.0)
    for j in range(rates.shape[0]):
        rate = _rate(there[j] + back[j], inverse, noise)
        rates[j] += sign * rate
        total += rate
    return total


@njit(cache=True, nogil=True)
def _draw(rates, total, u):
    """An index with probability ``rates[index] / total``, by one uniform draw."""
    left = u * total
    last = -1
    for j in range(rates.shape[0]):
        rate = rates[j]
        if rate > 0.0:
            last = j
            left -= rate
            if left < 0.0:
                return j
    return last


@njit(cache=True, nogil=True)
def _replace(groups, g, old, new):
    for position in range(groups.shape[1]):
        if groups[g, position] == old:
            groups[g, position] = new
            return


@njit(cache=True, nogil=True)
def _mark_same(groups, g, e):
    for i in groups[g]:
        for j in groups[g]:
            e[i, j] = SAME


@njit(cache=True, nogil=True)
def mark_all_same(groups, e):
    """Mark the entries inside every group."""
    for g in range(groups.shape[0]):
        _mark_same(groups, g, e)


@njit(cache=True, nogil=True)
def _key(names, group):
    key = np.uint64(0)
    for column in group:
        key += names[column]
    return key


@njit(cache=True, nogil=True)
def _recall(groups, g, key, slot, keys, members, rows, e):
    """Restore the exchange rows of group ``g`` when memory holds them."""
    m = groups.shape[1]
    if keys[slot] != key:
        return False
    for position in range(m):  # the hash may deceive
        found = False
        for other in range(m):
            found |= members[slot, position] == groups[g, other]
        if not found:
            return False
    for position in range(m):
        e[members[slot, position]] = rows[slot, position]
    return True


@njit(cache=True, nogil=True)
def _remember(groups, g, key, slot, keys, members, rows, e):
    keys[slot] = key
    for position in range(groups.shape[1]):
        i = groups[g, position]
        members[slot, position] = i
        rows[slot, position] = e[i]


@njit(cache=True, nogil=True)
def _gather(e, changed, back):
    """``back[q, c] = e[c, changed[q]]``."""
    for column in range(back.shape[1]):
        row = e[column]
        for q in range(changed.shape[0]):
            back[q, column] = row[changed[q]]


@njit(cache=True, nogil=True)
def _all_rates(e, real, inverse, noise, rates):
    """Total rate of the swaps of each column, a batch of columns at a time."""
    batch = np.empty(BATCH, np.int64)
    back = np.empty((BATCH, e.shape[0]), np.float32)
    for first in range(0, real, BATCH):
        count = min(BATCH, real - first)
        for q in range(count):
            batch[q] = first + q
        _gather(e, batch[:count], back)
        for q in range(count):
            rates[first + q] = _sum_of_rates(e[first + q, :real], back[q, :real], inverse, noise)


@njit(cache=True, nogil=True)
def mobility(e, real, values, weights, temperature):
    """Weighted mean over the columns of their total rates."""
    rates = np.empty(real, np.float32)
    _all_rates(e, real, np.float32(1.0 / temperature), np.float32(NOISE * values.mean()), rates)
    return (rates * weights).sum() / weights.sum()


@njit(cache=True, nogil=True)
def anneal(
    x, groups, n, where, values, e, real, temperature, names, keys, members, rows, kept, budget, best, deficit, rng
):
    """Metropolis sampling of swaps at one temperature, without the rejections.

    Every swap ``i, j`` has the rate ``min(1, exp(gain / temperature))`` at which Metropolis' rule would accept it;
    each event draws one swap in proportion to the rates and makes it (Bortz, Kalos & Lebowitz 1975), which gives
    the same sequence of states. The two columns that change places inherit each other's thresholds, so their rows
    of the exchange matrix follow by a shift; the rows of the other members of both groups come from memory or are
    computed.

    Parameters
    ----------
    temperature : float
        Loss accepted with probability 1/e, > 0.
    names : ndarray of uint64, shape (columns,)
        Random number of each column: their sum is the hash of a group.
    keys, members, rows, kept : ndarrays of uint64 (S,), int64 (S, M), float32 (S, M, columns), float64 (S,)
        Memory of groups; S is a power of two.
    budget : float
        Work to do, in maxima-and-additions of float32.
    best : ndarray of int64, shape (G, M)
        Receives the groups when they keep more than ever.
    deficit : float
        How much less than ``best`` the current groups keep, >= 0.
    rng : numpy.random.Generator

    Returns
    -------
    events : int
        Swaps made.
    deficit : float
        As above, now.
    """
    m = groups.shape[1]
    width, length = x.shape
    order = np.arange(width)
    inverse = np.float32(1.0 / temperature)
    noise = np.float32(NOISE * values.mean())
    places = np.empty((2 * (m - 1), 2), np.int64)
    targets = np.empty(2 * (m - 1), np.int64)
    new_keys = np.empty(2, np.uint64)
    new_slots = np.empty(2, np.int64)
    changed = np.empty(2 * m, np.int64)
    back = np.empty((2 * m, width), np.float32)
    own = np.empty(2 * m, np.float32)
    column_rates = np.empty(real, np.float32)
    one = np.empty((1, m), np.int64)
    score = np.empty(1, np.float64)
    old_row = np.empty(width, np.float32)
    mask = np.uint64(keys.shape[0] - 1)
    rates = np.empty(real, np.float32)
    _all_rates(e, real, inverse, noise, rates)
    work = np.float64(real) * real * 4
    events = 0
    while work < budget:
        total = 0.0
        for i in range(real):
            total += np.float64(max(rates[i], np.float32(0.0)))
        i = _draw(rates, total, rng.random())
        if i < 0:
            break
        for column in range(real):
            old_row[column] = e[column, i]
        column_rates[:] = 0.0
        _add_rates(column_rates, e[i, :real], old_row[:real], inverse, noise, np.float32(1.0))
        j = _draw(column_rates, np.float64(column_rates.sum()), rng.random())
        if j < 0:
            rates[i] = 0.0
            continue
        events += 1
        g = where[i]
        h = where[j]
        for position in range(m):
            changed[position] = groups[g, position]
            changed[m + position] = groups[h, position]
        _gather(e, changed, back)
        for q in range(2 * m):
            if changed[q] < real:
                _add_rates(rates, e[changed[q], :real], back[q, :real], inverse, noise, np.float32(-1.0))
        _replace(groups, g, i, j)
        _replace(groups, h, j, i)
        where[i] = h
        where[j] = g
        shift_i = e[i, j]
        shift_j = e[j, i]
        old_row[:] = e[i]
        for column in range(width):
            e[i, column] = e[j, column] - shift_j
        for column in range(width):
            e[j, column] = old_row[column] - shift_i
        e[i, j] = -shift_j
        e[j, i] = -shift_i
        before = values[g] + values[h]
        count = 0
        for turn in range(2):
            group = g if turn == 0 else h
            newcomer = j if turn == 0 else i
            key = _key(names, groups[group])
            slot = np.int64((key ^ (key >> np.uint64(29))) & mask)
            if _recall(groups, group, key, slot, keys, members, rows, e):
                values[group] = kept[slot]
                continue
            new_keys[turn] = key
            new_slots[turn] = slot
            for position in range(m):
                column = groups[group, position]
                if column != newcomer:
                    places[count, 0] = group
                    places[count, 1] = position
                    targets[count] = column
                    count += 1
        if count > 0:  # both groups at once: the columns are read once
            exchange(x, groups, places[:count], n, order, 0, e, targets[:count])
            for first in range(0, count, m - 1):
                group = places[first, 0]
                turn = 0 if group == g else 1
                _mark_same(groups, group, e)
                one[0] = groups[group]
                group_values(x, one, n, score)
                values[group] = score[0]
                kept[new_slots[turn]] = score[0]
                _remember(groups, group, new_keys[turn], new_slots[turn], keys, members, rows, e)
            work += count * np.float64(width) * length * x.itemsize / 4  # bytes come at least four times as fast
        work += EVENT_WORK * width + EVENT_START
        for p in range(2 * m):  # in the rows that changed; the others still hold what was gathered
            for q in range(2 * m):
                back[q, changed[p]] = e[changed[p], changed[q]]
        for q in range(2 * m):
            if changed[q] < real:
                own[q] = _add_rates(rates, e[changed[q], :real], back[q, :real], inverse, noise, np.float32(1.0))
        for q in range(2 * m):
            if changed[q] < real:
                rates[changed[q]] = own[q]
        deficit += before - values[g] - values[h]
        if deficit < -ROUNDING * values[g]:
            deficit = 0.0
            best[:] = groups
    return events, deficit
