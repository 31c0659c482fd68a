"""The parts of an assignment move, compiled."""

import numpy as np

from permsolve.jit import njit
from permsolve_solvers.moves._lap import assign

# How much of a column's price the last assignment makes, noise and all (measured).
FORGET = np.float32(0.3)


@njit(cache=True, nogil=True)
def choose(groups, picked, columns, rng):
    """Choose a random movable column of each picked group.

    Returns
    -------
    members : int64 (K, 2)
        Group, and position in it, of each chosen column.
    chosen : int64 (K,)
        The columns.
    """
    count = picked.shape[0]
    m = groups.shape[1]
    members = np.empty((count, 2), np.int64)
    chosen = np.empty(count, np.int64)
    for k in range(count):
        place = int(rng.random() * m)
        while groups[picked[k], place] >= columns:  # padding stays
            place = int(rng.random() * m)
        members[k, 0] = picked[k]
        members[k, 1] = place
        chosen[k] = groups[picked[k], place]
    return members, chosen


@njit(cache=True, nogil=True)
def pick(matrix, columns, out):
    """Write the rows and columns of a matrix with these numbers into ``out``."""
    for a in range(columns.shape[0]):
        row = matrix[columns[a]]
        target = out[a]
        for b in range(columns.shape[0]):
            target[b] = row[columns[b]]


@njit(cache=True, nogil=True)
def redistributed(groups, members, chosen, gain, temperature, noise, prices, rng):
    """Put the chosen columns back by the best assignment for ``gain`` plus noise, which is added to it.

    ``gain`` is filled up with ``-FAR`` to whole steps of columns, as :func:`.assign` wants it. ``noise`` holds standard
    Gumbel variates; each row of ``gain`` takes a run of them from a random place. ``prices`` holds what each column of
    the problem cost in earlier assignments, NaN when there was none, and is brought up to date.

    Returns
    -------
    moved : int64 (any,)
        The groups that change.
    trial : int64 (any, M)
        What they become.
    cycle : int64 (any,)
        Number of the cyclic exchange that each is part of: any of them can be done without the others.
    """
    count = chosen.shape[0]
    if temperature > 0.0:
        scale = np.float32(temperature)
        for a in range(count):
            start = int(rng.random() * (noise.shape[0] - count))
            run = noise[start : start + count]
            row = gain[a]
            for b in range(count):
                row[b] += scale * run[b]
    price = np.zeros(gain.shape[1], np.float32)
    _recall(gain, chosen, prices, price)
    receives = assign(gain, price)
    _remember(chosen, price, prices)
    trial = np.empty((count, groups.shape[1]), np.int64)
    moved = np.empty(count, np.int64)
    cycle = np.empty(count, np.int64)
    size = 0
    cycles = 0
    for first in range(count):
        if receives[first] == first:
            continue
        a = first
        while receives[a] != a:
            g = members[a, 0]
            moved[size] = g
            trial[size] = groups[g]
            trial[size, members[a, 1]] = chosen[receives[a]]
            cycle[size] = cycles
            size += 1
            receives[a], a = a, receives[a]
        cycles += 1
    return moved[:size], trial[:size], cycle[:size]


@njit(cache=True, nogil=True)
def _recall(gain, chosen, prices, price):
    """Fill in the prices of columns; one that has none gets what the best bid for it says, in their scale."""
    count = chosen.shape[0]
    known = 0
    for b in range(count):
        price[b] = prices[chosen[b]]
        known += not np.isnan(price[b])
    if known == count:
        return
    best = gain[0].copy()
    for a in range(1, count):
        row = gain[a]
        for b in range(count):
            best[b] = max(best[b], row[b])
    beyond = np.float32(0.0)
    for b in range(count):
        if not np.isnan(price[b]):
            beyond += (best[b] - price[b]) / np.float32(known)
    for b in range(count):
        if np.isnan(price[b]):
            price[b] = best[b] - beyond


@njit(cache=True, nogil=True)
def _remember(chosen, price, prices):
    """Bring the prices of columns up to date; what all of them rose by says nothing."""
    count = chosen.shape[0]
    known = 0
    risen = 0.0
    for b in range(count):
        if not np.isnan(prices[chosen[b]]):
            risen += price[b] - prices[chosen[b]]
            known += 1
    rise = np.float32(risen / max(1, known))
    for b in range(count):
        now = price[b] - rise
        before = prices[chosen[b]]
        prices[chosen[b]] = now if np.isnan(before) else before + FORGET * (now - before)
