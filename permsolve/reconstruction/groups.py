"""Which entries of a flat weight a pattern groups."""

import numpy as np
from numpy.typing import NDArray

from permsolve.pattern import Pattern


def pattern_groups(shape: tuple[int, ...], pattern: Pattern) -> NDArray[np.int64]:
    """Places in ``weight.reshape(out, -1)`` of every group: M consecutive channels at one place of the kernel.

    Parameters
    ----------
    shape : tuple of int
        Of the weight, (out, channels) or (out, channels, k...).
    pattern : Pattern
        The pattern.

    Returns
    -------
    ndarray of int64, shape (groups, M)
        -1 fills up a short last group.
    """
    channels = shape[1]
    places = np.arange(int(np.prod(shape[1:]))).reshape(channels, -1)
    padded = np.pad(places, ((0, -channels % pattern.m), (0, 0)), constant_values=-1)
    grouped = padded.reshape(-1, pattern.m, places.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(grouped.reshape(-1, pattern.m))
