"""Kernels of the cut separation."""

import numpy as np

from permsolve.jit import njit


@njit(cache=True, nogil=True)
def violated_triples(together, triples, shares, least, out, excess):
    """Write the triples of columns whose subset-row cut is violated.

    Parameters
    ----------
    together : ndarray of float64, shape (C, C)
        Share of the groups that hold both columns.
    triples : ndarray of int64, shape (T,)
        Sorted numbers ``(a * C + b) * C + c`` of triples a < b < c inside groups.
    shares : ndarray of float64, shape (T,)
        Share of each.
    least : float
        Least violation reported.
    out : ndarray of int64, shape (room, 3)
        Receives the triples.
    excess : ndarray of float64, shape (room,)
        Receives by how much each is violated.

    Returns
    -------
    int
        How many were written.
    """
    columns = together.shape[0]
    count = 0
    for a in range(columns):
        for b in range(a + 1, columns):
            for c in range(b + 1, columns):
                total = together[a, b] + together[a, c] + together[b, c]
                if total <= 1.0 + least:
                    continue
                number = (a * columns + b) * columns + c
                k = np.searchsorted(triples, number)
                while k < triples.shape[0] and triples[k] == number:
                    total -= 2.0 * shares[k]  # a group with all three was counted three times
                    k += 1
                if total > 1.0 + least and count < out.shape[0]:
                    out[count, 0] = a
                    out[count, 1] = b
                    out[count, 2] = c
                    excess[count] = total - 1.0
                    count += 1
    return count


@njit(cache=True, nogil=True)
def beyond_prices(groups, values, duals, k):
    """What group ``k`` is worth beyond the prices of its columns."""
    reduced = values[k]
    for position in range(groups.shape[1]):
        reduced -= duals[groups[k, position]]
    return reduced


@njit(cache=True, nogil=True)
def reduced_costs(groups, values, duals, pairs, triples, weights, out):
    """Reduced costs under prices of columns and of cuts of triples.

    Parameters
    ----------
    groups : ndarray of int64, shape (K, M)
        Columns ascending in each group.
    values : ndarray of float64, shape (K,)
        What each is worth.
    duals : ndarray of float64, shape (C,)
        Price of each column.
    pairs : ndarray of float64, shape (C, C)
        For i < j, the prices of the cuts that hold both.
    triples : ndarray of int64, shape (T,)
        Sorted numbers ``(a * C + b) * C + c`` of the cuts.
    weights : ndarray of float64, shape (T,)
        Their prices.
    out : ndarray of float64, shape (K,)
        Receives ``values - sum of the prices of the columns - prices of the cuts of which two columns are held``.
    """
    columns = duals.shape[0]
    m = groups.shape[1]
    for k in range(groups.shape[0]):
        held = 0.0
        for i in range(m):
            for j in range(i + 1, m):
                held += pairs[groups[k, i], groups[k, j]]
        if held > 0.0:
            # A cut whose three columns are all held was counted with each of its pairs.
            for i in range(m):
                for j in range(i + 1, m):
                    if pairs[groups[k, i], groups[k, j]] > 0.0:
                        for h in range(j + 1, m):
                            number = (groups[k, i] * columns + groups[k, j]) * columns + groups[k, h]
                            place = np.searchsorted(triples, number)
                            if place < triples.shape[0] and triples[place] == number:
                                held -= 2.0 * weights[place]
        out[k] = beyond_prices(groups, values, duals, k) - held
