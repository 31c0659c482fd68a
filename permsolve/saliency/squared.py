"""Squares of weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def squared(weight: NDArray[Any]) -> NDArray[Any]:
    """``w^2``, in float64 so that neither tiny nor huge float32 weights are lost."""
    with np.errstate(over="ignore"):  # an infinite score is refused by name later
        scores: NDArray[Any] = np.square(weight, dtype=np.float64)
    return scores
