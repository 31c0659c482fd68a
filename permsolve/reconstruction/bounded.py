"""Fitting kept weights to values that their type can hold."""

import numpy as np
from numpy.typing import NDArray

from permsolve.reconstruction.fit import fit_masked
from permsolve.reconstruction.output_error import output_error


def fit_bounded(
    weight: NDArray[np.floating], mask: NDArray[np.bool_], moment: NDArray[np.floating], limit: float
) -> NDArray[np.float64]:
    """Values of the kept weights as :func:`fit_masked` finds them, none of them larger than a limit.

    In rows where some are, these are set to the limit, and the others fitted anew, which now make up for what was cut
    off, too; again, until all are within it. Such a row is left as it was, but for what is dropped, where that is
    nearer to its outputs.

    Parameters
    ----------
    weight, mask, moment
        As for :func:`permsolve.reconstruction.refit`.
    limit : float
        The largest absolute value.

    Raises
    ------
    InvalidProblemError
        As :func:`permsolve.reconstruction.refit` does.
    """
    fitted = fit_masked(weight, mask, moment)
    rows = np.flatnonzero((np.abs(fitted) > limit).any(axis=1))
    if not len(rows):
        return fitted
    goal, free = np.asarray(weight, np.float64)[rows], mask[rows].copy()
    values, fixed = fitted[rows], np.zeros((len(rows), goal.shape[1]))
    while (beyond := np.abs(values) > limit).any():
        fixed[beyond] = np.copysign(limit, values[beyond])
        free &= ~beyond
        values = fixed + fit_masked(goal - fixed, free, moment)
    masked = np.clip(goal * mask[rows], -limit, limit)
    better = output_error(goal, values, moment) <= output_error(goal, masked, moment)
    fitted[rows] = np.where(better[:, np.newaxis], values, masked)
    return fitted
