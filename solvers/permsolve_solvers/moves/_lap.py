"""Linear assignment, compiled, and begun with the prices that columns had before.

scipy's routine holds the interpreter lock, so that workers would wait for it; and it begins anew each time.
"""

import numpy as np

from permsolve.jit import njit
from permsolve_solvers.moves._lanes import FARTHER, relax, two_best

# Rounds of bidding, and evictions in each, per row, after which the rows left over wait (measured).
ROUNDS = 2
EVICTIONS = 1


@njit(cache=True, nogil=True)
def assign(gain, price):
    """The one-to-one assignment of columns to rows with the largest total gain, up to rounding of float32.

    Jonker & Volgenant (Computing 38, 325-340, 1987) with another beginning: instead of a price that one look at each
    column gives, columns keep those that are given, and a row keeps the column of its own number if at these prices
    there is no better one. Assignment moves that are solved one after the other have like prices, and few columns
    move. The other rows bid as in augmenting row reduction, and those that are left are assigned by shortest
    augmenting paths.

    Parameters
    ----------
    gain : ndarray of float32, shape (K, width), C order, width a multiple of :data:`._lanes.STEP`
        Gains; ``-FAR`` beyond the K-th column.
    price : ndarray of float32, shape (width,)
        What columns cost, any numbers; receives prices at which no row would rather have another column.

    Returns
    -------
    ndarray of int64, shape (K,)
        Column of each row.
    """
    size, width = gain.shape
    column_of = np.full(size, -1, np.int64)
    row_of = np.full(width, -1, np.int64)
    free = np.empty(size, np.int64)
    free_count = 0
    for i in range(size):
        if gain[i, i] - price[i] >= two_best(gain, i, price)[0]:
            column_of[i] = i
            row_of[i] = i
        else:
            free[free_count] = i
            free_count += 1

    # Augmenting row reduction. Rounding can make two rows outbid each other for ever: a budget ends that.
    for _ in range(ROUNDS):
        waiting = free_count
        free_count = 0
        budget = EVICTIONS * size
        k = 0
        while k < waiting:
            i = free[k]
            k += 1
            first, j, second = two_best(gain, i, price)
            evicted = row_of[j]
            if size > 1:
                price[j] += first - second
            column_of[i] = j
            row_of[j] = i
            if evicted >= 0:
                column_of[evicted] = -1
                budget -= 1
                if first > second and budget > 0:
                    k -= 1
                    free[k] = evicted
                else:
                    free[free_count] = evicted
                    free_count += 1

    # Shortest augmenting paths (Dijkstra) for the rows still free.
    distance = np.empty(width, np.float32)
    previous = np.empty(width, np.int32)
    closed = np.empty(size, np.int64)
    closed_at = np.empty(size, np.float32)
    for f in range(free_count):
        start = free[f]
        distance[:] = np.float32(FARTHER)
        least, j = relax(gain, start, price, np.float32(0.0), distance, previous)
        count = 0
        while row_of[j] >= 0:
            closed[count] = j
            closed_at[count] = least
            count += 1
            distance[j] = np.float32(-FARTHER)
            i = row_of[j]
            least, j = relax(gain, i, price, price[j] - gain[i, j] - least, distance, previous)
        for k in range(count):
            price[closed[k]] += least - closed_at[k]
        while True:
            i = previous[j]
            row_of[j] = i
            j, column_of[i] = column_of[i], j
            if i == start:
                break
    return column_of
