"""How many float32 additions the GPU does in a second when nothing has to be loaded."""

import time
from typing import Any

import numpy as np
from numba import cuda, float32

THREADS = 256
BLOCKS = 4096
ROUNDS = 4096
# Independent sums of a thread, and additions for each of them and round.
SUMS = 8
PER_SUM = 2


@cuda.jit  # type: ignore[untyped-decorator]
def _add(rounds: int, out: Any) -> None:
    """Sum ``|x - s|``, as the exchange kernel does, in registers only."""
    i = cuda.grid(1)
    x = float32(i)
    a = float32(0.0)
    b = float32(1.0)
    c = float32(2.0)
    d = float32(3.0)
    e = float32(4.0)
    f = float32(5.0)
    g = float32(6.0)
    h = float32(7.0)
    for _ in range(rounds):
        a += abs(x - a)
        b += abs(x - b)
        c += abs(x - c)
        d += abs(x - d)
        e += abs(x - e)
        f += abs(x - f)
        g += abs(x - g)
        h += abs(x - h)
    if i < out.shape[0]:
        out[i] = a + b + c + d + e + f + g + h


def additions_per_second(blocks: int = BLOCKS, rounds: int = ROUNDS, repeats: int = 5) -> float:
    """The best of some measurements."""
    out = cuda.to_device(np.zeros(blocks * THREADS, np.float32))
    best = 0.0
    for _ in range(repeats + 1):  # the first compiles
        cuda.synchronize()
        begun = time.perf_counter()
        _add[blocks, THREADS](rounds, out)
        cuda.synchronize()
        best = max(best, blocks * THREADS * rounds * SUMS * PER_SUM / (time.perf_counter() - begun))
    return best
