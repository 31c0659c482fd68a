"""Optimal brain damage: the diagonal of the layer's output error."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.moments import InputMoments


def obd(weight: NDArray[Any], inputs: InputMoments) -> NDArray[np.float64]:
    """``w^2 * E[x^2]``: mean squared change of the output when this weight alone is set to zero.

    Second-order saliency with a diagonal Hessian, of the squared error of the layer's outputs, whose second
    derivative with respect to a weight is twice the mean square of its input.

    Parameters
    ----------
    weight : ndarray of float32 or float64, shape (outputs, d)
        Flat weight of one group.
    inputs : InputMoments
        Of this group.

    Returns
    -------
    ndarray of float64, shape (outputs, d)

    References
    ----------
    Y. LeCun, J. Denker, S. Solla. *Optimal brain damage.* NIPS 1989 (1990).
    """
    with np.errstate(over="ignore"):  # an infinite score is refused by name later
        scores: NDArray[np.float64] = np.square(weight, dtype=np.float64)
        scores *= inputs.mean_square[0]
    return scores
