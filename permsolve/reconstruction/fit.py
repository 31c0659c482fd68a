"""Fitting a masked layer by the method that its size allows."""

import numpy as np
from numpy.typing import NDArray

from permsolve.reconstruction.least_squares import refit
from permsolve.reconstruction.sweep import sweep

# Multiplications of all decompositions of one layer: some minutes of two cores.
EXACT_WORK = 4e12
# Times as long as a fit that exchanges take, measured on rows of 576 and 1024 inputs with two of four kept.
EXCHANGE_WORK = 13.0


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
    return refit(weight, mask, moment) if _work(mask) <= EXACT_WORK else sweep(weight, mask, moment)


def affordable(mask: NDArray[np.bool_]) -> bool:
    """Whether :func:`permsolve.reconstruction.exchange` can do with a mask in some minutes, too."""
    return EXCHANGE_WORK * _work(mask) <= EXACT_WORK


def _work(mask: NDArray[np.bool_]) -> float:
    """Multiplications of the decompositions of all rows."""
    return float((mask.sum(axis=1, dtype=np.float64) ** 3).sum()) / 3.0
