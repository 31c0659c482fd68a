"""Optimal brain surgeon: the layer's output error after all other weights of the row have been re-fitted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.moments import InputMoments


def obs(weight: NDArray[Any], inputs: InputMoments) -> NDArray[np.float64]:
    """``w^2 / [H^-1]_jj`` with ``H = E[x x^T] + damping``: the error that is left of :func:`permsolve.saliency.obd`.

    When a weight is set to zero and all others of its row are re-fitted to the outputs, this is the mean squared error
    that remains. The damping is 0.01 times the mean of the diagonal, as in SparseGPT (Frantar & Alistarh 2023),
    taken over inputs that are not always zero; the weights of inputs that are score 0.

    Parameters
    ----------
    weight : ndarray of float32 or float64, shape (outputs, d)
        Flat weight of one group.
    inputs : InputMoments
        Of this group, with second moments.

    Returns
    -------
    ndarray of float64, shape (outputs, d)

    References
    ----------
    B. Hassibi, D. Stork. *Second order derivatives for network pruning: optimal brain surgeon.* NIPS 1992 (1993).
    """
    with np.errstate(over="ignore"):  # an infinite score is refused by name later
        scores: NDArray[np.float64] = np.square(weight, dtype=np.float64)
        scores /= inputs.inverse_diagonal()[0]
    return scores
