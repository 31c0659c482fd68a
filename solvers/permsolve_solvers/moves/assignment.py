"""Assignment moves: take one column out of every group, put them back in the best way."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from permsolve.kernels.exchange import exchange
from permsolve.kernels.scoring import group_values
from permsolve.problem import Problem
from permsolve_solvers.moves import _kernels
from permsolve_solvers.moves.picture import Picture
from permsolve_solvers.moves.state import Groups, Saliency

# Most groups in one assignment problem: its time grows with the cube of the size.
MAX_GROUPS = 512
# Fewest columns of a matrix that are worth a worker's while.
MIN_SLICE = 32
NOISE_SIZE = 1 << 18


class SubmatrixSource(Protocol):
    """What computes parts of the exchange matrix: :class:`permsolve.kernels.device.exchange.DeviceExchange`.

    Entries may lack what cancels in every exchange of columns.
    """

    def submatrix(self, groups: Groups, members: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """What each of some columns would gain in the place of each of some members."""
        ...

    def group_values(self, groups: Groups) -> NDArray[np.float64]:
        """What groups keep, summed in float64."""
        ...


@dataclass(eq=False)
class AssignmentMoves:
    """Redistribute one random column of every group, optimally, again and again.

    Every cyclic exchange of the chosen columns is in this neighbourhood; a linear assignment problem on a
    submatrix of the exchange matrix finds the best one. With a temperature, Gumbel noise is added to that
    matrix and the outcome stays whatever it is: a perturb-and-maximise draw (Papandreou & Yuille 2011)
    from the redistributions, each weighted by about ``exp(gain / temperature)``.

    More than ``MAX_GROUPS`` groups are dealt at random into parts, which the workers handle side by side; otherwise
    the workers share the computation of the matrix.

    Parameters
    ----------
    problem : Problem
        The problem.
    groups : ndarray of int64, shape (G, M)
        Groups to start from; changed in place.
    pool : ThreadPoolExecutor
        Runs the workers' tasks.
    workers : int
        Number of workers in the pool.
    rng : numpy.random.Generator
        Makes all random choices: the same, the same moves.
    device : SubmatrixSource, optional
        Computes the submatrices of the exchange matrix, and what groups keep, on a GPU; the workers do when not given.

    """

    problem: Problem
    groups: Groups
    pool: ThreadPoolExecutor
    workers: int
    rng: np.random.Generator
    device: SubmatrixSource | None = None
    _values: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        count = self.groups.shape[0]
        self._values = np.empty(count, np.float64)
        self._stale = np.ones(count, np.bool_)
        self._x: Saliency = self.problem.working
        self._unit = 1.0
        self._prices = np.full(self.groups.size, np.nan, np.float32)
        self._parts = -(-count // MAX_GROUPS)
        self._rngs = self.rng.spawn(self._parts)
        # A tiny offset keeps the logarithm finite. The table is long enough that runs of it rarely meet.
        exponential = self.rng.standard_exponential(NOISE_SIZE, dtype=np.float32) + np.float32(1e-30)
        self._noise: NDArray[np.float32] = -np.log(exponential)

    @property
    def values(self) -> NDArray[np.float64]:
        """What each group keeps, shape (G,), in the scale of ``problem.working``."""
        stale = np.flatnonzero(self._stale)
        if stale.size:
            self._values[stale] = self._scored(self.groups[stale])
            self._stale[stale] = False
        return self._values

    def look_at(self, picture: Picture | None) -> None:
        """Compute the matrices from a coarse saliency from now on, or from the true one again."""
        x, unit = (self.problem.working, 1.0) if picture is None else (picture.x, picture.unit)
        if x is not self._x:
            self._x, self._unit = x, unit
            self._prices[:] = np.nan  # in another unit

    def move(self, temperature: float = 0.0) -> int:
        """One move of all groups; how many changed.

        Parameters
        ----------
        temperature : float, default 0
            Scale of the noise, in the unit of ``values``; 0 accepts nothing but gains by the float64 score.
        """
        if temperature == 0.0:
            _ = self.values  # up to date: they decide
        order = self.rng.permutation(self.groups.shape[0])
        if self._parts == 1:
            return self._redistribute(order, temperature, self._rngs[0], self.workers)
        tasks = [
            self.pool.submit(
                self._redistribute, np.ascontiguousarray(order[part :: self._parts]), temperature, self._rngs[part], 1
            )
            for part in range(self._parts)
        ]
        return sum(task.result() for task in tasks)

    def _redistribute(
        self, picked: NDArray[np.int64], temperature: float, rng: np.random.Generator, workers: int
    ) -> int:
        members, chosen = _kernels.choose(self.groups, picked, self.problem.columns, rng)
        gain = self._exchange(members, chosen, workers)
        local = temperature / self._unit
        moved, trial = _kernels.redistributed(self.groups, members, chosen, gain, local, self._noise, self._prices, rng)
        if temperature == 0.0:
            values = self._scored(trial)
            if values.sum() <= self._values[moved].sum():
                return 0
            self._values[moved] = values
        else:
            self._stale[moved] = True
        self.groups[moved] = trial
        return len(moved)

    def _scored(self, groups: Groups) -> NDArray[np.float64]:
        """What groups keep, in the scale of ``problem.working``."""
        if self.device is not None:
            return self.device.group_values(groups)
        values = np.empty(groups.shape[0], np.float64)
        group_values(self.problem.working, groups, self.problem.pattern.n, values)
        return values

    def _exchange(self, members: NDArray[np.int64], chosen: NDArray[np.int64], workers: int) -> NDArray[np.float32]:
        """What each chosen column would gain in the place of each other, the columns shared among workers."""
        if self.device is not None:
            return self.device.submatrix(self.groups, members, chosen)
        count = chosen.shape[0]
        gain = np.empty((count, count), np.float32)
        targets = np.arange(count)
        slices = max(1, min(workers, count // MIN_SLICE))
        edges = [count * k // slices // 2 * 2 for k in range(slices)] + [count]

        def compute(k: int) -> None:
            first, last = edges[k], edges[k + 1]
            exchange(
                self._x,
                self.groups,
                members,
                self.problem.pattern.n,
                chosen[first:last],
                first,
                gain,
                targets,
            )

        others = [self.pool.submit(compute, k) for k in range(1, slices)]
        compute(0)
        for task in others:
            task.result()
        return gain

    def spread(self) -> float:
        """Interquartile range of what a swap of two random columns of different groups changes: a robust scale.

        At least a tiny positive number, also for data on which swaps change nothing. Read on the true saliency.
        """
        gains = []
        for _ in range(4):
            picked = self.rng.permutation(self.groups.shape[0])[:64]
            members, chosen = _kernels.choose(self.groups, picked, self.problem.columns, self.rng)
            gain = self._exchange(members, chosen, 1)
            gains.append((gain + gain.T)[np.triu_indices(picked.shape[0], 1)])
        low, high = np.quantile(np.concatenate(gains), [0.25, 0.75])
        least = 1e-9 * float(self.values.max())
        return max(float(high - low), least, float(np.finfo(np.float32).tiny))
