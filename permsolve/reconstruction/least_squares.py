"""The best values of the weights that a mask keeps."""

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import InvalidProblemError
from permsolve.reconstruction._kernels import fit_rows
from permsolve.reconstruction.rows import each_part


def refit(weight: NDArray[np.floating], mask: NDArray[np.bool_], moment: NDArray[np.floating]) -> NDArray[np.float64]:
    """Values of the kept weights that minimise :func:`output_error`, exactly: masked least squares, row by row.

    For a row that keeps the inputs S, ``w'_S = H_SS^-1 (H w)_S``: a Cholesky decomposition of ``|S|^3 / 3``
    multiplications per row, in float64.

    Parameters
    ----------
    weight : ndarray, shape (outputs, d)
        The dense layer, flat.
    mask : ndarray of bool, shape (outputs, d)
        What is kept.
    moment : ndarray, shape (d, d)
        Second moments of the inputs, symmetric and positive definite: damped
        (:meth:`permsolve.moments.InputMoments.damped`).

    Raises
    ------
    InvalidProblemError
        When shapes do not fit, or the second moments are not positive definite.
    """
    check_fit(weight, mask, moment)
    matrix = np.asarray(moment, np.float64)
    target = np.asarray(weight, np.float64) @ matrix
    fitted = np.zeros(weight.shape)

    def fit(part: slice) -> None:
        try:
            fit_rows(matrix, mask[part], target[part], fitted[part])
        except ValueError as error:
            raise InvalidProblemError(
                "second moments of the inputs are not positive definite: give more damping or more samples"
            ) from error

    each_part(fit, len(mask))
    return fitted


def check_fit(weight: NDArray[np.floating], mask: NDArray[np.bool_], moment: NDArray[np.floating]) -> None:
    """Refuse a weight, mask and second moments that do not belong together."""
    width = weight.shape[1] if weight.ndim == 2 else 0
    if weight.ndim != 2 or mask.shape != weight.shape or moment.shape != (width, width):
        raise InvalidProblemError(
            f"a flat weight (outputs, d), its mask and second moments (d, d) are needed, got shapes {weight.shape}, "
            f"{mask.shape} and {moment.shape}"
        )
