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

from permsolve.jit import njit
from permsolve.kernels.exchange import exchange
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
def _save(groups, g, values, e, saved, saved_groups, saved_members, saved_values, saved_rows):
    """Remember group ``g`` and its rows of the exchange matrix as entry ``saved``."""
    m = groups.shape[1]
    saved_groups[saved] = g
    saved_values[saved] = values[g]
    for position in range(m):
        saved_members[saved, position] = groups[g, position]
        saved_rows[saved * m + position] = e[groups[g, position]]


@njit(cache=True, nogil=True)
def search(x, groups, n, where, values, e, real, dirty, swaps, best, steps, kick, temperature, reach, rng):
    """Descend by best swaps, then iterate: kick some groups, descend, keep the outcome by Metropolis' rule.

    The first descent looks at the swaps of the groups marked in ``dirty``. A step then rotates one random
    column through 2 to ``kick`` random groups and applies best swaps to whatever that disturbed. The
    outcome stays if it gained, or with probability ``exp(change / temperature)``; otherwise all is put back,
    exchange matrix included.

    Parameters
    ----------
    dirty : ndarray of bool, shape (G,)
        Groups to descend from first; on return those that ``swaps`` left for another call.
    swaps : int
        Most swaps of the first descent.
    best : ndarray of int64, shape (G, M)
        Receives the best groups seen.
    steps : int
        Steps to do after the first descent, none if that is cut short.
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
        How much ``best`` keeps more than the state on entry.
    done : int
        Swaps of the first descent.
    """
    count, m = groups.shape
    columns = np.arange(x.shape[0])
    most = max(kick, 2)
    members = np.empty((most * m, 2), np.int64)
    targets = np.empty(most * m, np.int64)
    pending = np.empty(most, np.int64)
    trial = np.empty((most, m), np.int64)
    scores = np.empty(most, np.float64)
    queue = np.empty(count, np.int64)
    queued = np.zeros(count, np.bool_)
    is_saved = np.ones(count, np.bool_)  # nothing is put back after the first descent
    saved_groups = np.empty(reach, np.int64)
    saved_members = np.empty((reach, m), np.int64)
    saved_values = np.empty(reach, np.float64)
    saved_rows = np.empty((reach * m, x.shape[0]), np.float32)
    saved = 0
    done = 0
    before = values.sum()
    waiting = 0
    for g in range(count - 1, -1, -1):
        if dirty[g]:
            queue[waiting] = g
            queued[g] = True
            waiting += 1
    gained = 0.0
    best_gained = 0.0
    for step in range(-1, steps):
        touched = 0
        if step >= 0:
            saved = 0
            touched = 2 + int(rng.random() * (kick - 1))
            while saved < touched:
                g = int(rng.random() * count)
                if not is_saved[g]:
                    is_saved[g] = True
                    _save(groups, g, values, e, saved, saved_groups, saved_members, saved_values, saved_rows)
                    pending[saved] = g
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
        must_gain = False
        swap_i = -1
        swap_j = -1
        while True:
            if touched > 0:
                # Changed groups: score them in float64; a swap that does not gain after all is taken back.
                for entry in range(touched):
                    trial[entry] = groups[pending[entry]]
                group_values(x, trial[:touched], n, scores)
                if must_gain and scores[0] + scores[1] <= values[pending[0]] + values[pending[1]]:
                    _swap(groups, where, swap_j, swap_i)
                    waiting -= 1
                    queued[queue[waiting]] = False
                else:
                    for entry in range(touched):
                        g = pending[entry]
                        values[g] = scores[entry]
                        if not queued[g]:
                            queued[g] = True
                            queue[waiting] = g
                            waiting += 1
                        for position in range(m):
                            members[entry * m + position, 0] = g
                            members[entry * m + position, 1] = position
                            targets[entry * m + position] = groups[g, position]
                    exchange(x, groups, members[: touched * m], n, columns, 0, e, targets)
                    if step < 0:
                        done += 1
            # The next swap, of the group that waits on top of the queue.
            touched = 0
            while waiting > 0 and touched == 0:
                if step < 0 and done >= swaps:
                    break
                g = queue[waiting - 1]
                swap_i, swap_j, gain = _best_swap(groups, g, real, where, e)
                usable = swap_i >= 0 and gain > NOISE * values[g]
                if usable and not is_saved[where[swap_j]]:
                    if saved == reach:
                        usable = False
                    else:
                        h = where[swap_j]
                        is_saved[h] = True
                        _save(groups, h, values, e, saved, saved_groups, saved_members, saved_values, saved_rows)
                        saved += 1
                if usable:
                    pending[0] = g
                    pending[1] = where[swap_j]
                    _swap(groups, where, swap_i, swap_j)
                    must_gain = True
                    touched = 2
                else:
                    waiting -= 1
                    queued[g] = False
            if touched == 0:
                break
        if step < 0:
            for g in range(count):
                dirty[g] = queued[g]
                is_saved[g] = False
            gained = values.sum() - before
            best_gained = gained
            best[:] = groups
            if waiting > 0:
                break
            continue
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
    return best_gained, done


@njit(cache=True, nogil=True)
def disjoint_swaps(order, gains, partners, where, values, pairs):
    """The swaps of ``order`` that gain more than noise and share no group with an earlier one; how many there are.

    Parameters
    ----------
    order : ndarray of int64, shape (columns,)
        Columns, the one whose best swap gains most first.
    gains, partners : ndarray, shape (columns,)
        What the best swap of each column gains, and with which column; -1: there is none.
    where : ndarray of int64, shape (columns,)
        Group of each column.
    values : ndarray of float64, shape (G,)
        What each group keeps.
    pairs : ndarray of int64, shape (any, 2)
        Receives the swaps.
    """
    taken = np.zeros(values.shape[0], np.bool_)
    count = 0
    for i in order:
        j = partners[i]
        if j < 0:
            continue
        g, h = where[i], where[j]
        if taken[g] or taken[h] or gains[i] <= NOISE * max(values[g], values[h]):
            continue
        taken[g] = True
        taken[h] = True
        pairs[count, 0] = i
        pairs[count, 1] = j
        count += 1
    return count
