"""Linear assignment, compiled: scipy's routine holds the interpreter lock, so that workers would wait for it."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def assign(gain):
    """The one-to-one assignment of columns to rows with the largest total gain.

    Jonker & Volgenant (Computing 38, 325-340, 1987): column reduction, reduction transfer, two rounds of augmenting
    row reduction, then shortest augmenting paths. On the dense, nearly solved matrices of assignment moves the first
    three leave few rows for the last.

    Parameters
    ----------
    gain : ndarray of float32, shape (K, K)
        Finite gains.

    Returns
    -------
    ndarray of int64, shape (K,)
        Column of each row.
    """
    size = gain.shape[0]
    column_of = np.full(size, -1, np.int64)
    row_of = np.full(size, -1, np.int64)
    price = np.empty(size, np.float64)

    # Column reduction: each column bids for the row that gains most from it.
    best = gain[0].copy()
    bidder = np.zeros(size, np.int64)
    for i in range(1, size):
        row = gain[i]
        for j in range(size):
            if row[j] > best[j]:
                best[j] = row[j]
                bidder[j] = i
    bids = np.zeros(size, np.int64)
    for j in range(size - 1, -1, -1):
        price[j] = -np.float64(best[j])
        i = bidder[j]
        bids[i] += 1
        if bids[i] == 1:
            column_of[i] = j
            row_of[j] = i

    # Reduction transfer: a row with one bid lowers its column's price as far as it may.
    free = np.empty(size, np.int64)
    free_count = 0
    for i in range(size):
        if bids[i] == 0:
            free[free_count] = i
            free_count += 1
        elif bids[i] == 1 and size > 1:
            own = column_of[i]
            row = gain[i]
            least = np.inf
            for j in range(size):
                cost = -np.float64(row[j]) - price[j]
                if j != own and cost < least:
                    least = cost
            price[own] -= least

    # Augmenting row reduction. Rounding can make two rows outbid each other for ever: a budget ends that.
    for _ in range(2):
        waiting = free_count
        free_count = 0
        budget = 4 * size
        k = 0
        while k < waiting:
            i = free[k]
            k += 1
            row = gain[i]
            first = np.inf
            second = np.inf
            j1 = -1
            j2 = -1
            for j in range(size):
                cost = -np.float64(row[j]) - price[j]
                if cost < second:
                    if cost >= first:
                        second = cost
                        j2 = j
                    else:
                        second = first
                        j2 = j1
                        first = cost
                        j1 = j
            evicted = row_of[j1]
            if first < second:
                if size > 1:
                    price[j1] -= second - first
            elif evicted >= 0:
                j1 = j2
                evicted = row_of[j1]
            column_of[i] = j1
            row_of[j1] = i
            if evicted >= 0:
                column_of[evicted] = -1
                budget -= 1
                if first < second and budget > 0:
                    k -= 1
                    free[k] = evicted
                else:
                    free[free_count] = evicted
                    free_count += 1

    # Shortest augmenting paths (Dijkstra) for the rows still free.
    distance = np.empty(size, np.float64)
    previous = np.empty(size, np.int64)
    order = np.empty(size, np.int64)
    for f in range(free_count):
        start = free[f]
        row = gain[start]
        for j in range(size):
            distance[j] = -np.float64(row[j]) - price[j]
            previous[j] = start
            order[j] = j
        low = 0  # order[:low] are scanned, order[low:up] wait at distance `least`
        up = 0
        settled = 0
        end = -1
        least = 0.0
        while end < 0:
            if low == up:
                settled = low
                least = distance[order[up]]
                up += 1
                for k in range(up, size):
                    j = order[k]
                    if distance[j] <= least:
                        if distance[j] < least:
                            up = low
                            least = distance[j]
                        order[k] = order[up]
                        order[up] = j
                        up += 1
                for k in range(low, up):
                    if row_of[order[k]] < 0:
                        end = order[k]
                        break
            if end < 0:
                j1 = order[low]
                low += 1
                i = row_of[j1]
                row = gain[i]
                slack = -np.float64(row[j1]) - price[j1] - least
                for k in range(up, size):
                    j = order[k]
                    cost = -np.float64(row[j]) - price[j] - slack
                    if cost < distance[j]:
                        previous[j] = i
                        if cost == least:
                            if row_of[j] < 0:
                                end = j
                                break
                            order[k] = order[up]
                            order[up] = j
                            up += 1
                        distance[j] = cost
        for k in range(settled):
            j = order[k]
            price[j] += distance[j] - least
        while True:
            i = previous[end]
            row_of[end] = i
            end, column_of[i] = column_of[i], end
            if i == start:
                break
    return column_of
