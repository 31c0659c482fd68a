"""The whole exchange matrix, beside the arithmetic limit of the GPU."""

import time
from dataclasses import dataclass

import numpy as np

from bench.gpu.limit import PER_SUM, additions_per_second
from permsolve.kernels.device.exchange import DeviceExchange

M = 4


@dataclass(frozen=True, slots=True)
class ExchangeRow:
    """One size.

    Attributes
    ----------
    columns, rows : int
        Of the saliency.
    milliseconds : float
        Median time of the matrix.
    limit_milliseconds : float
        What its additions take at the rate of a loop that loads nothing.
    """

    columns: int
    rows: int
    milliseconds: float
    limit_milliseconds: float


def measure_exchange(columns: int, rows: int, repeats: int = 7, limit: float | None = None) -> ExchangeRow:
    """Time all rows of the exchange matrix, thresholds included, at 2:4.

    Parameters
    ----------
    columns, rows : int
        Of the saliency; columns a multiple of 4.
    repeats : int
        Measurements after the one that compiles.
    limit : float, optional
        Additions per second; measured when not given.
    """
    x = np.random.default_rng(0).random((columns, rows), dtype=np.float32)
    groups = np.arange(columns).reshape(-1, M)
    matrix = DeviceExchange(x, 2)
    matrix.hold()
    every = np.arange(len(groups))
    times = []
    for _ in range(repeats + 1):
        matrix.synchronize()
        begun = time.perf_counter()
        matrix.refresh(groups, every)
        matrix.synchronize()
        times.append(time.perf_counter() - begun)
    additions = PER_SUM * float(columns) ** 2 * rows
    return ExchangeRow(
        columns,
        rows,
        1e3 * float(np.median(times[1:])),
        1e3 * additions / (limit or additions_per_second()),
    )
