"""The parts of an assignment move, compiled."""

import numpy as np
from numba import njit

from permsolve_solvers.moves._lap import assign


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
def redistributed(groups, members, chosen, gain, temperature, noise, rng):
    """Put the chosen columns back by the best assignment for ``gain`` plus noise.

    ``noise`` holds standard Gumbel variates; each row of ``gain`` takes a run of them from a random place.

    Returns
    -------
    moved : int64 (any,)
        The groups that change.
    trial : int64 (any, M)
        What they become.
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
    receives = assign(gain)
    trial = np.empty((count, groups.shape[1]), np.int64)
    moved = np.empty(count, np.int64)
    size = 0
    for a in range(count):
        if receives[a] != a:
            g = members[a, 0]
            moved[size] = g
            trial[size] = groups[g]
            trial[size, members[a, 1]] = chosen[receives[a]]
            size += 1
    return moved[:size], trial[:size]
