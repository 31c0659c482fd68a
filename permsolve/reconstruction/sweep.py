"""Fitting kept weights one input after the other, where least squares per row would take too long."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from permsolve.errors import InvalidProblemError
from permsolve.reconstruction.least_squares import check_fit

# Inputs whose changes are gathered before the inputs after them are told, in one product of matrices.
BLOCK = 128


def sweep(weight: NDArray[np.floating], mask: NDArray[np.bool_], moment: NDArray[np.floating]) -> NDArray[np.float64]:
    """Drop inputs one by one, and let those that come later make up for each: the blocked sweep of SparseGPT.

    Every row does with one decomposition of ``d^3`` and ``d^2`` multiplications per row, where :func:`refit` has to
    decompose anew for each; the price is that inputs make up for those before them only, so that the error is larger.

    Parameters
    ----------
    weight, mask, moment
        As for :func:`refit`.

    Raises
    ------
    InvalidProblemError
        As :func:`refit` does.

    References
    ----------
    Frantar and Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot", ICML 2023.
    """
    check_fit(weight, mask, moment)
    upper = _inverse_factor(np.asarray(moment, np.float64))
    swept = np.array(weight, np.float64)
    width = swept.shape[1]
    for start in range(0, width, BLOCK):
        stop = min(width, start + BLOCK)
        errors = np.empty((swept.shape[0], stop - start))
        inside, factor = swept[:, start:stop], upper[start:stop, start:stop]
        for place in range(stop - start):
            kept = mask[:, start + place]
            error = np.where(kept, 0.0, inside[:, place]) / factor[place, place]
            inside[:, place:] -= np.outer(error, factor[place, place:])
            inside[~kept, place] = 0.0  # exactly, whatever was rounded
            errors[:, place] = error
        swept[:, stop:] -= errors @ upper[start:stop, stop:]
    return swept


def _inverse_factor(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper triangular U with ``U^T U`` the inverse."""
    factor, info = lapack.dpotrf(matrix, lower=1)
    if not info:
        inverse, info = lapack.dpotri(factor, lower=1)
    if not info:
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        factor, info = lapack.dpotrf(inverse, lower=0)
    if info:
        raise InvalidProblemError(
            "second moments of the inputs are not positive definite: give more damping or more samples"
        )
    upper: NDArray[np.float64] = np.triu(factor)
    return upper
