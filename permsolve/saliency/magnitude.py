"""The classic saliency."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def magnitude(weight: NDArray[Any]) -> NDArray[Any]:
    """``|w|``: absolute value of each weight."""
    scores: NDArray[Any] = np.abs(weight)
    return scores
