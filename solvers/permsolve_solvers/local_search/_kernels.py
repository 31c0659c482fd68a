"""Swap descent and perturbation on a full exchange matrix.

All kernels share one search state:

x : float32 (columns, rows)         saliency, columns first; padding columns hold zeros
groups : int64 (G, M)               the current groups
where : int64 (columns,)            group of each column
values : float64 (G,)               what each group keeps
e : float32 (columns, columns)      exchange matrix, e[i] up to date with the group of i
real : int                          columns below it may move, those from it on are padding
"""

import numpy as np
from numba import njit

from permsolve.kernels.exchange import refresh_group
from permsolve.kernels.scoring import group_values

# Float32 sums carry errors of about 1e-7 of a group's value: a smaller gain may be none.
NOISE = 1e-6


@njit(cache=True, nogil=True)
def _best_swap(groups, g, real, where, e):
    """The swap of a column of group ``g`` with one of another group that gains most: (i, j, gain)."""
    best = np.float32(0.0)
    best_i = -1
    best_j = -1
    for position in range(groups.shape[1]):
        i = groups[g, position]
        if i >= real:
            continue
        row = e[i]
        for j in range(real):
            gain = row[j] + e[j, i]
            if gain > best and where[j] != g:
                best = gain
                best_i = i
                best_j = j
    return best_i, best_j, best


@njit(cache=True, nogil=True)
def _replace(groups, g, old, new):
    for position in range(groups.shape[1]):
        if groups[g, position] == old:
            groups[g, position] = new
            return


@njit(cache=True, nogil=True)
def _swap(groups, where, i, j):
    """Exchange columns ``i`` and ``j`` of two different groups."""
    _replace(groups, where[i], i, j)
    _replace(groups, where[j], j, i)
    where[i], where[j] = where[j], where[i]


@njit(cache=True, nogil=True)
def _try_swap(x, groups, n, where, values, i, j):
    """Swap ``i`` and ``j`` if that gains by the float64 score too; say whether it did."""
    g = where[i]
    h = where[j]
    pair = np.empty(2, np.float64)
    _swap(groups, where, i, j)
    group_values(x, groups[g : g + 1], n, pair[:1])
    group_values(x, groups[h : h + 1], n, pair[1:])
    if pair[0] + pair[1] <= values[g] + values[h]:
        _swap(groups, where, j, i)
        return False
    values[g] = pair[0]
    values[h] = pair[1]
    return True


@njit(cache=True, nogil=True)
def descend(x, groups, n, where, values, e, real, dirty, limit):
    """Apply best swaps until no swap of a dirty group gains, or ``limit`` swaps are done.

    ``dirty[g]`` marks groups whose swaps must be looked at; on return those left for another call.
    Returns the number of swaps.
    """
    columns = np.arange(x.shape[0])
    members = np.empty((groups.shape[1], 2), np.int64)
    done = 0
    again = True
    while again:
        again = False
        for g in range(groups.shape[0]):
            while dirty[g]:
                if done >= limit:
                    return done
                i, j, gain = _best_swap(groups, g, real, where, e)
                if i < 0 or gain <= NOISE * values[g]:
                    dirty[g] = False
                    continue
                h = where[j]
                if not _try_swap(x, groups, n, where, values, i, j):
                    dirty[g] = False
                    continue
                refresh_group(x, groups, g, n, columns, e, members)
                refresh_group(x, groups, h, n, columns, e, members)
                dirty[h] = True
                done += 1
                again = True
    return done


@njit(cache=True, nogil=True)
def _save(groups, g, values, e, saved, saved_groups, saved_members, saved_values, saved_rows):
    """Remember group ``g`` and its rows of the exchange matrix as entry ``saved``."""
    m = groups.shape[1]
    saved_groups[saved] = g
    saved_values[saved] = values[g]
    for position in range(m):
        saved_members[saved, position] = groups[g, position]
        saved_rows[saved * m + position] = e[groups[g, position]]


@njit(cache=True, nogil=True)
def perturb(x, groups, n, where, values, e, real, best, steps, kick, temperature, reach, rng):
    """Iterated descent: kick some groups, descend, keep the outcome with Metropolis' rule.

    A step rotates one random column through 2 to ``kick`` random groups, then applies best swaps to whatever
    that disturbed. The outcome stays if it gained, or with probability ``exp(change / temperature)``;
    otherwise all is put back, exchange matrix included.

    Parameters
    ----------
    best : ndarray of int64, shape (G, M)
        Receives the best groups seen (unchanged when none beats the state on entry).
    steps : int
        Steps to do.
    kick : int
        Most groups that a kick touches, 2 <= kick <= G.
    temperature : float
        Loss accepted with probability 1/e, > 0.
    reach : int
        Most groups that one step may change, >= kick: bounds the memory for putting things back.
    rng : numpy.random.Generator

    Returns
    -------
    gain : float
        How much ``best`` keeps more than the state on entry, 0 if nothing better was seen.
    """
    count, m = groups.shape
    columns = np.arange(x.shape[0])
    members = np.empty((m, 2), np.int64)
    score = np.empty(1, np.float64)
    queue = np.empty(count, np.int64)
    queued = np.zeros(count, np.bool_)
    is_saved = np.zeros(count, np.bool_)
    saved_groups = np.empty(reach, np.int64)
    saved_members = np.empty((reach, m), np.int64)
    saved_values = np.empty(reach, np.float64)
    saved_rows = np.empty((reach * m, x.shape[0]), np.float32)
    gained = 0.0
    best_gained = 0.0
    for _ in range(steps):
        touched = 2 + int(rng.random() * (kick - 1))
        saved = 0
        while saved < touched:
            g = int(rng.random() * count)
            if not is_saved[g]:
                is_saved[g] = True
                _save(groups, g, values, e, saved, saved_groups, saved_members, saved_values, saved_rows)
                saved += 1
        wanderer = -1
        for entry in range(touched):
            g = saved_groups[entry]
            place = groups[g, int(rng.random() * m)]
            while place >= real:
                place = groups[g, int(rng.random() * m)]
            if wanderer >= 0:
                _swap(groups, where, wanderer, place)
            wanderer = place
        waiting = 0
        for entry in range(touched):
            g = saved_groups[entry]
            refresh_group(x, groups, g, n, columns, e, members)
            group_values(x, groups[g : g + 1], n, score)
            values[g] = score[0]
            queue[waiting] = g
            queued[g] = True
            waiting += 1
        while waiting > 0:
            waiting -= 1
            g = queue[waiting]
            queued[g] = False
            while True:
                i, j, gain = _best_swap(groups, g, real, where, e)
                if i < 0 or gain <= NOISE * values[g]:
                    break
                h = where[j]
                # A group waiting in the queue was changed in this step, so g is saved; h may be new.
                if not is_saved[h]:
                    if saved == reach:
                        break
                    is_saved[h] = True
                    _save(groups, h, values, e, saved, saved_groups, saved_members, saved_values, saved_rows)
                    saved += 1
                if not _try_swap(x, groups, n, where, values, i, j):
                    break
                refresh_group(x, groups, g, n, columns, e, members)
                refresh_group(x, groups, h, n, columns, e, members)
                if not queued[h]:
                    queued[h] = True
                    queue[waiting] = h
                    waiting += 1
        change = 0.0
        for entry in range(saved):
            change += values[saved_groups[entry]] - saved_values[entry]
        if change >= 0.0 or rng.random() < np.exp(change / temperature):
            gained += change
            if gained > best_gained:
                best_gained = gained
                best[:] = groups
        else:
            for entry in range(saved):
                g = saved_groups[entry]
                values[g] = saved_values[entry]
                for position in range(m):
                    column = saved_members[entry, position]
                    groups[g, position] = column
                    where[column] = g
                    e[column] = saved_rows[entry * m + position]
        for entry in range(saved):
            is_saved[saved_groups[entry]] = False
    return best_gained
