"""Assignment moves: take one column out of every group, put them back in the best way."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from permsolve.kernels.exchange import exchange
from permsolve.kernels.scoring import group_values

Groups = NDArray[np.int64]


def assignment_move(
    x: NDArray[np.float32],
    groups: Groups,
    values: NDArray[np.float64],
    picked: NDArray[np.int64],
    n: int,
    columns: int,
    rng: np.random.Generator,
    e: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:
    """Redistribute one random column of each picked group among these groups, optimally.

    Every cyclic exchange of the chosen columns is in this neighbourhood; a linear assignment problem on a
    submatrix of the exchange matrix finds the best one.

    Parameters
    ----------
    x : ndarray of float32, shape (columns with padding, rows)
        Saliency, columns first.
    groups : ndarray of int64, shape (G, M)
        Current groups; changed in place.
    values : ndarray of float64, shape (G,)
        What each group keeps; changed in place.
    picked : ndarray of int64, shape (K,)
        The groups that take part.
    n : int
        Entries kept per group and row.
    columns : int
        Columns below it may move, those from it on are padding.
    rng : numpy.random.Generator
        Chooses the columns.
    e : ndarray of float32, optional
        The full exchange matrix if it is at hand; else the submatrix is computed.

    Returns
    -------
    ndarray of int64
        The groups that changed; empty when no redistribution gains by the float64 score.
    """
    # Padding stands at the end of its group, so the real members are the first ones.
    movable = (groups[picked] < columns).sum(axis=1)
    places = (rng.random(picked.shape[0]) * movable).astype(np.int64)
    chosen = groups[picked, places]
    if e is not None:
        gain = e[chosen[:, None], chosen[None, :]]
    else:
        gain = np.empty((picked.shape[0], picked.shape[0]), np.float32)
        exchange(x, groups, np.column_stack([picked, places]), n, chosen, 0, gain, np.arange(picked.shape[0]))
    _, receives = linear_sum_assignment(gain, maximize=True)
    moved = np.flatnonzero(receives != np.arange(picked.shape[0]))
    changed = picked[moved]
    trial = groups[changed]
    trial[np.arange(moved.shape[0]), places[moved]] = chosen[receives[moved]]
    scores = np.empty(moved.shape[0], np.float64)
    group_values(x, trial, n, scores)
    if scores.sum() <= values[changed].sum():
        return changed[:0]
    groups[changed] = trial
    values[changed] = scores
    return changed
