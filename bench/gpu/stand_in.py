"""The processor in the part of a GPU, with a stop-watch: what the rest of a search takes, and how much a GPU must do.

A search on a GPU is work of the host and of the GPU. Without one, the first can be timed and the second counted.
"""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bench.gpu.search import ROUNDING
from bench.gpu.weights import heavy_tailed
from permsolve import Problem, solve
from permsolve.cores import available_cores
from permsolve.kernels.exchange import exchange
from permsolve.kernels.scoring import group_values
from permsolve.stopping.criterion import Progress

Groups = NDArray[np.int64]

TILE = 64


@dataclass(frozen=True, slots=True)
class HostRow:
    """One search to its first local optimum under assignments and swaps.

    Attributes
    ----------
    columns, rows : int
        Of the weight.
    workers : int
        Cores of the host.
    host_seconds : float
        What the search took beyond what a GPU does: assignments, bookkeeping, scores of what is reported.
    matrices : float
        What a GPU does meanwhile, in whole exchange matrices.
    calls : int
        Times that it was called.
    efficacy : float
        Of the local optimum, in percent.
    """

    columns: int
    rows: int
    workers: int
    host_seconds: float
    matrices: float
    calls: int
    efficacy: float


class StandIn:
    """What :class:`permsolve.kernels.device.exchange.DeviceExchange` does, by the processor, timed and counted.

    Attributes
    ----------
    busy : float
        Seconds that it took in all.
    entries : float
        Entries of the exchange matrix computed.
    calls : int
        Calls.
    best_gain : float
        Most that a swap gained when it was last asked.
    refreshed : list of int
        How many groups each call of :meth:`refresh` was for.
    """

    def __init__(self, x: NDArray[np.float32], n: int) -> None:
        self._x = x
        self._n = n
        self._lock = threading.Lock()
        self._cores = available_cores()
        self._pool = ThreadPoolExecutor(self._cores)
        self.busy = 0.0
        self.entries = 0.0
        self.calls = 0
        self.best_gain = np.inf
        self.refreshed: list[int] = []

    @contextmanager
    def _timed(self) -> Iterator[None]:
        with self._lock:
            begun = time.perf_counter()
            yield
            self.busy += time.perf_counter() - begun
            self.calls += 1

    def submatrix(
        self, groups: Groups, members: NDArray[np.int64], columns: NDArray[np.int64], out: NDArray[np.float32]
    ) -> None:
        """What each of some columns would gain in the place of each of some members."""
        with self._timed():
            self._compute(groups, members, columns, out, np.arange(len(members)))

    def hold(self) -> None:
        """Make room for the whole matrix."""
        self._e = np.empty((len(self._x), len(self._x)), np.float32)

    def refresh(self, groups: Groups, changed: NDArray[np.int64]) -> None:
        """Recompute the rows of the members of some groups."""
        m = groups.shape[1]
        members = np.column_stack([np.repeat(changed, m), np.tile(np.arange(m), len(changed))])
        with self._timed():
            self._compute(groups, members, np.arange(len(self._x)), self._e, groups[changed].ravel())
            self.refreshed.append(len(changed))

    def best_partners(self, where: NDArray[np.int64], real: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """For each column what its best swap gains, 0 when none does, and with which column; -1: none."""
        width = len(self._x)
        gains, partners = np.empty(width, np.float32), np.empty(width, np.int64)
        with self._timed():
            edges = [width * k // (4 * self._cores) for k in range(4 * self._cores + 1)]
            tasks = [
                self._pool.submit(_best_partners, self._e, where, real, first, last, gains, partners)
                for first, last in itertools.pairwise(edges)
            ]
            for task in tasks:
                task.result()
            self.best_gain = float(gains.max())
        return gains, partners

    def group_values(self, groups: Groups) -> NDArray[np.float64]:
        """What groups keep, summed in float64."""
        out = np.empty(len(groups), np.float64)
        with self._timed():
            group_values(self._x, np.ascontiguousarray(groups), self._n, out)
        return out

    def _compute(
        self,
        groups: Groups,
        members: NDArray[np.int64],
        columns: NDArray[np.int64],
        out: NDArray[np.float32],
        targets: NDArray[np.int64],
    ) -> None:
        parts = np.array_split(np.arange(len(members)), max(1, min(4 * self._cores, len(members) // 8)))
        tasks = [
            self._pool.submit(exchange, self._x, groups, members[part], self._n, columns, 0, out, targets[part])
            for part in parts
        ]
        for task in tasks:
            task.result()
        self.entries += len(members) * len(columns)


@njit(cache=True, nogil=True)
def _best_partners(e, where, real, first, last, gains, partners):  # type: ignore[no-untyped-def]
    """As :func:`permsolve.kernels.device._kernels.best_partners`, of the columns from first to last."""
    turned = np.empty((TILE, TILE), np.float32)
    gains[first:last] = 0.0
    partners[first:last] = -1
    for top in range(first, min(last, real), TILE):
        bottom = min(top + TILE, last, real)
        for left in range(0, real, TILE):
            right = min(left + TILE, real)
            for j in range(left, right):
                for i in range(top, bottom):
                    turned[i - top, j - left] = e[j, i]
            for i in range(top, bottom):
                for j in range(left, right):
                    gain = e[i, j] + turned[i - top, j - left]
                    if gain > gains[i] and where[i] != where[j]:
                        gains[i] = gain
                        partners[i] = j


def measure_host(columns: int, rows: int, workers: int | None = None) -> HostRow:
    """Run ``local-search`` with a stand-in for the GPU until no swap gains more than rounding."""
    problem = Problem(heavy_tailed(rows, columns, 0), "2:4")
    with _played() as stand_ins:
        solve(Problem(heavy_tailed(64, 256, 0), "2:4"), "local-search", device="cuda", time_limit=1.0)  # compiles
        stand_ins.clear()
        told = 0.0

        def reached(progress: Progress) -> bool:
            nonlocal told
            for stand_in in stand_ins:  # none before the search begins
                told = progress.elapsed - stand_in.busy
            return any(one.best_gain <= ROUNDING * problem.row_bound / problem.group_count for one in stand_ins)

        result = solve(problem, "local-search", device="cuda", workers=workers, stop=reached)
    (stand_in,) = stand_ins
    return HostRow(columns, rows, result.workers, told, stand_in.entries / columns**2, stand_in.calls, result.efficacy)


@contextmanager
def _played() -> Iterator[list[StandIn]]:
    """Solvers on ``device="cuda"`` get stand-ins, which are told here, instead of a GPU."""
    made: list[StandIn] = []

    def stand_in(x: NDArray[np.float32], n: int) -> StandIn:
        made.append(StandIn(x, n))
        return made[-1]

    with (
        patch("permsolve.kernels.device.availability.obstacle", lambda: None),
        patch("permsolve_solvers.moves.device.device_name", lambda: "the processor in its part"),
        patch("permsolve.kernels.device.exchange.DeviceExchange", stand_in),
    ):
        yield made
