"""Relative importance with activations."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.moments import InputMoments

EXPONENT = 0.5


def ria(weight: NDArray[Any], inputs: InputMoments) -> NDArray[Any]:
    """``(|w| / row sum of |w| + |w| / column sum of |w|) * ||x||^0.5``.

    A row holds the weights of one output, a column those of one input. ``||x||`` is as in
    :func:`permsolve.saliency.wanda`. Rows and columns of zeros score 0.

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
    Y. Zhang, H. Bai, H. Lin, J. Zhao, L. Hou, C. V. Cannistraci. *Plug-and-play: an efficient post-training pruning
    method for large language models.* ICLR 2024.
    """
    scores: NDArray[Any] = np.abs(weight)
    rows = _share(scores.sum(axis=1, keepdims=True, dtype=np.float64))
    columns = _share(scores.sum(axis=0, keepdims=True, dtype=np.float64))
    size = np.sqrt(inputs.mean_square[0]) ** EXPONENT
    # |w| * (a_row + b_column) * size, in place, as two factors that stay in the weight's type.
    factor = (rows * size).astype(weight.dtype) + (columns * size).astype(weight.dtype)
    scores *= factor
    return scores


def _share(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """One over each sum, 0 for a sum of 0 (whose weights are all 0)."""
    return np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0.0)
