"""How far the outputs of a changed layer are from those of the layer as it was."""

import numpy as np
from numpy.typing import NDArray


def output_error(
    weight: NDArray[np.floating], changed: NDArray[np.floating], moment: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Mean square of ``(w - w') x`` for each output, ``(w - w')^T H (w - w')`` with ``H = E[x x^T]``.

    Parameters
    ----------
    weight, changed : ndarray, shape (outputs, d)
        The layer as it was and as it is, flat.
    moment : ndarray, shape (d, d)
        Second moments of its inputs.

    Returns
    -------
    ndarray of float64, shape (outputs,)
        ``output_error(weight, 0 * weight, moment)`` is the mean square of the outputs themselves, to divide by.
    """
    difference = np.subtract(weight, changed, dtype=np.float64)
    error: NDArray[np.float64] = np.einsum("ij,ij->i", difference @ moment, difference)
    return np.maximum(error, 0.0)
