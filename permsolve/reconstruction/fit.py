"""Fitting a masked layer by the method that its size allows."""

import numpy as np
from numpy.typing import NDArray

from permsolve.reconstruction.least_squares import refit
from permsolve.reconstruction.sweep import sweep

# Multiplications of all decompositions of one layer: some minutes of one core.
EXACT_WORK = 4e12


def fit_masked(
    weight: NDArray[np.floating], mask: NDArray[np.bool_], moment: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Values of the kept weights: by :func:`refit` where its decompositions are affordable, else by :func:`sweep`.

    Parameters
    ----------
    weight, mask, moment
        As for :func:`refit`.

    Raises
    ------
    InvalidProblemError
        As :func:`refit` does.
    """
    work = float((mask.sum(axis=1, dtype=np.float64) ** 3).sum()) / 3.0
    return refit(weight, mask, moment) if work <= EXACT_WORK else sweep(weight, mask, moment)
