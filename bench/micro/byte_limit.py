"""How many bytes one core can compare and add when nothing has to be loaded from beyond its nearest cache."""

import time

import numpy as np
from numba import njit

from permsolve.kernels.absolute_differences import STEP, TILE, tile_of_differences

# Bytes of each of the seven rows of a tile: all of them stay in the first-level cache.
LENGTH = 2048


@njit(nogil=True)
def _run(left, right, rounds):  # type: ignore[no-untyped-def]
    total = 0
    for number in range(rounds):
        # Another place each time, so that no round repeats the one before; all sums are used, so that none is left out.
        for one in tile_of_differences(left, 0, right, (0, 1, 2, 3), STEP * (number % 2), LENGTH):
            total += one
    return total


def byte_limit(rounds: int = 40_000, repeats: int = 5) -> float:
    """Measured absolute differences, added up, per second of one core, on one tile of bytes over and over."""
    tall, wide = TILE
    rng = np.random.default_rng(0)
    left = rng.integers(0, 256, (tall, LENGTH), dtype=np.uint8)
    right = rng.integers(0, 256, (wide, LENGTH + STEP), dtype=np.uint8)
    _run(left, right, 10)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        _run(left, right, rounds)
        best = min(best, time.perf_counter() - start)
    return rounds * tall * wide * LENGTH / best
