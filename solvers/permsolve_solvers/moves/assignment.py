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
    temperature: float = 0.0,
) -> NDArray[np.int64]:
    """Redistribute one random column of each picked group among these groups, optimally.

    Every cyclic exchange of the chosen columns is in this neighbourhood; a linear assignment problem on a
    submatrix of the exchange matrix finds the best one. With a temperature, Gumbel noise is added to that
    matrix and the outcome stays whatever it is: a perturb-and-maximise draw (Papandreou & Yuille 2011)
    from the redistributions, each weighted by about ``exp(gain / temperature)``.

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
        Chooses the columns and the noise.
    temperature : float, default 0
        Scale of the noise, in the unit of ``values``; 0 accepts nothing but gains by the float64 score.

    Returns
    -------
    ndarray of int64
        The groups that changed.
    """
    gain, places, chosen = exchange_among(x, groups, picked, n, columns, rng)
    if temperature > 0.0:
        # A tiny offset keeps the logarithm finite.
        noise = rng.standard_exponential(gain.shape, dtype=np.float32) + np.float32(1e-30)
        gain -= np.float32(temperature) * np.log(noise)
    _, receives = linear_sum_assignment(gain, maximize=True)
    moved = np.flatnonzero(receives != np.arange(picked.shape[0]))
    changed = picked[moved]
    trial = groups[changed]
    trial[np.arange(moved.shape[0]), places[moved]] = chosen[receives[moved]]
    scores = np.empty(moved.shape[0], np.float64)
    group_values(x, trial, n, scores)
    if temperature == 0.0 and scores.sum() <= values[changed].sum():
        return changed[:0]
    groups[changed] = trial
    values[changed] = scores
    return changed


def exchange_among(
    x: NDArray[np.float32],
    groups: Groups,
    picked: NDArray[np.int64],
    n: int,
    columns: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Choose one random column of each picked group; what each would gain in the place of each other.

    Returns
    -------
    gain : ndarray of float32, shape (K, K)
        ``gain[a, b]``: column ``b`` in the place of column ``a``.
    places, chosen : ndarray of int64, shape (K,)
        Position in its group, and number, of each chosen column.
    """
    # Padding stands at the end of its group, so the real members are the first ones.
    movable = (groups[picked] < columns).sum(axis=1)
    places = (rng.random(picked.shape[0]) * movable).astype(np.int64)
    chosen = groups[picked, places]
    gain = np.empty((picked.shape[0], picked.shape[0]), np.float32)
    exchange(x, groups, np.column_stack([picked, places]), n, chosen, 0, gain, np.arange(picked.shape[0]))
    return gain, places, chosen
