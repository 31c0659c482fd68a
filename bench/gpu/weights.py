"""Random weights with heavy tails, of any size in seconds."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from permsolve.cores import mapped

# Entries that one generator draws, so that the weight is the same on any number of cores, and at once, in the cache.
PART = 1 << 22
AT_ONCE = 1 << 15


def heavy_tailed(rows: int, columns: int, seed: int) -> NDArray[np.float32]:
    """Absolute entries of a weight, shape (rows, columns): Student's t with four degrees of freedom.

    That is ``z / sqrt(v / 4)``, z standard normal and v chi-squared with four degrees of freedom, twice the sum of two
    standard exponentials.
    """
    weight = np.empty((rows, columns), np.float32)
    flat = weight.reshape(-1)
    starts = range(0, flat.size, PART)

    def fill(job: tuple[int, np.random.SeedSequence]) -> None:
        first, sequence = job
        whole = flat[first : first + PART]
        rng = np.random.default_rng(sequence)
        for start in range(0, whole.size, AT_ONCE):
            part = whole[start : start + AT_ONCE]
            halved = rng.standard_exponential(part.size, np.float32)
            halved += rng.standard_exponential(part.size, np.float32)
            halved *= np.float32(0.5)
            rng.standard_normal(dtype=np.float32, out=part)
            part /= np.sqrt(halved, out=halved)
            np.abs(part, out=part)

    deque(mapped(fill, zip(starts, np.random.SeedSequence(seed).spawn(len(starts)), strict=True), flat.size), maxlen=0)
    return weight
