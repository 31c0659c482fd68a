"""Magnitude of weight times input."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.moments import InputMoments


def wanda(weight: NDArray[Any], inputs: InputMoments) -> NDArray[Any]:
    """``|w| * ||x||``: what a weight carries of an input of typical size.

    ``||x||`` is the root of the mean square of the input that the weight is multiplied by: 0 where it is always 0.

    Parameters
    ----------
    weight : ndarray of float32 or float64, shape (outputs, d)
        Flat weight of one group.
    inputs : InputMoments
        Of this group.

    Returns
    -------
    ndarray of the weight's dtype, shape (outputs, d)

    References
    ----------
    M. Sun, Z. Liu, A. Bair, J. Z. Kolter. *A simple and effective pruning approach for large language models.*
    arXiv:2306.11695, 2023.
    """
    scores: NDArray[Any] = np.abs(weight) * np.sqrt(inputs.mean_square[0]).astype(weight.dtype)
    return scores
