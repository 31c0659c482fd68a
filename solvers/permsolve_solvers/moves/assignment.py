"""Assignment moves: take one column out of every group, put them back in the best way."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from permsolve.cores import Threads
from permsolve.kernels.exchange import exchange
from permsolve.kernels.scoring import group_values
from permsolve.problem import Problem
from permsolve_solvers.moves import _kernels
from permsolve_solvers.moves._lanes import FAR, STEP
from permsolve_solvers.moves.picture import Picture
from permsolve_solvers.moves.state import Groups, Saliency

# Most groups in one assignment problem: the more, the more a move brings for its time, if there is time for many moves
# (measured up to 2752). Where a GPU computes the matrix the assignments are what takes time, and the matrix of more
# groups does not stay in the caches.
MAX_GROUPS = 4096
MAX_GROUPS_BESIDE_GPU = 1408
# Work on a part between two looks at the clock, in maxima-and-additions, where a part is that large.
PART_WORK = 5e10
# Moves begin with parts of so many groups, which become half as many where there is time for LEAST_MOVES moves of twice
# the size. How the time of a move rises with the size is the power GROWTH (1.3 to 2.1 measured).
MIN_GROUPS = 512
LEAST_MOVES = 60
GROWTH = 1.5
PROBE = 3
# Rows of the matrix that a worker computes between two looks at the clock, in maxima-and-additions (some 0.1 s), and
# whole batches of how many.
LOOK = 1e9
BATCH = 24
# Fewest columns of a matrix that are worth a worker's while.
MIN_SLICE = 32
# Least and most numbers that noise is taken from.
NOISE = (1 << 18, 1 << 21)
# A whole exchange matrix is kept up to this size in bytes, while what changes in a move costs less than the move's own
# matrix would, and begun where it saves that much in this share of the time left. What changes is a running mean, in
# which a move has the weight RECENT.
KEPT_BYTES = 1 << 30
KEPT_TIME = 0.3
RECENT = 0.1


class SubmatrixSource(Protocol):
    """What computes parts of the exchange matrix: :class:`permsolve.kernels.device.exchange.DeviceExchange`.

    Entries may lack what cancels in every exchange of columns.
    """

    def submatrix(
        self, groups: Groups, members: NDArray[np.int64], columns: NDArray[np.int64], out: NDArray[np.float32]
    ) -> None:
        """Write what each of some columns would gain in the place of each of some members; columns beyond are free."""
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

    Very many groups, or groups of very many rows, are dealt at random into parts, which the workers handle side by
    side; otherwise the workers share the computation of the matrix. There are the fewer parts the more moves there is
    time for. When few groups change, the exchange matrix of all columns is kept, and only their rows are computed anew.

    Parameters
    ----------
    problem : Problem
        The problem.
    groups : ndarray of int64, shape (G, M)
        Groups to start from; changed in place.
    pool : Threads
        Runs the workers' tasks.
    workers : int
        Number of workers in the pool.
    rng : numpy.random.Generator
        Makes all random choices: the same, the same moves.
    device : SubmatrixSource, optional
        Computes the submatrices of the exchange matrix, and what groups keep, on a GPU; the workers do when not given.
    remaining : callable, optional
        Says how many seconds there are left, for decisions that pay later; no end when not given.
    stopped : callable, optional
        Says that the search is over, asked from any thread: a move that it meets in the middle changes nothing.
    """

    problem: Problem
    groups: Groups
    pool: Threads
    workers: int
    rng: np.random.Generator
    device: SubmatrixSource | None = None
    remaining: Callable[[], float] = field(default=lambda: math.inf)
    stopped: Callable[[], bool] = field(default=lambda: False)
    _values: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        count = self.groups.shape[0]
        self._values = np.empty(count, np.float64)
        self._stale = np.ones(count, np.bool_)
        self._x: Saliency = self.problem.working
        self._unit = 1.0
        self._prices = np.full(self.groups.size, np.nan, np.float32)
        most = MAX_GROUPS_BESIDE_GPU
        if self.device is None:
            most = min(MAX_GROUPS, max(MIN_GROUPS, int((PART_WORK / self.problem.rows) ** 0.5)))
        self._least_parts = -(-count // most)
        self._parts = max(self._least_parts, -(-count // MIN_GROUPS))
        self._probes = 0
        self._rngs = self.rng.spawn(self._parts)
        self._buffers: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * self._parts
        self._matrix: NDArray[np.float32] | None = None
        self._share = 1.0
        self._computed, self._spent = 0, 0.0
        # A tiny offset keeps the logarithm finite. The table is long enough that runs of it rarely meet.
        size = int(np.clip((count // self._least_parts) ** 2, *NOISE))
        exponential = self.rng.standard_exponential(size, dtype=np.float32) + np.float32(1e-30)
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
            # From picture to picture prices change their unit; the true saliency counts whole columns besides.
            self._prices *= np.float32(self._unit / unit if x.dtype == self._x.dtype else np.nan)
            self._x, self._unit = x, unit
            self._forget()

    def move(self, temperature: float = 0.0) -> int:
        """One move of all groups; how many changed.

        Parameters
        ----------
        temperature : float, default 0
            Scale of the noise, in the unit of ``values``; at 0 only cyclic exchanges are done that gain by the float64
            score.
        """
        if temperature == 0.0:
            _ = self.values  # up to date: they decide
        order = self.rng.permutation(self.groups.shape[0])
        begun = time.perf_counter()
        if self._parts == 1:
            changed = self._redistribute(order, temperature, 0, self.workers)
            self._keep(changed, time.perf_counter() - begun)
            return len(changed)
        each = max(1, self.workers // self._parts)
        tasks = [
            self.pool.submit(
                self._redistribute, np.ascontiguousarray(order[part :: self._parts]), temperature, part, each
            )
            for part in range(self._parts)
        ]
        changes = sum(len(task.result()) for task in tasks)
        self._widen(time.perf_counter() - begun)
        return changes

    def reset(self, groups: Groups) -> None:
        """Go to other groups of the same columns."""
        changed = np.flatnonzero((groups != self.groups).any(axis=1))
        self.groups[changed] = groups[changed]
        self._stale[changed] = True
        if self._matrix is not None:
            self._refresh(self._matrix, changed)

    def _widen(self, spent: float) -> None:
        """After a move of so many seconds go over to fewer parts, if there is time for enough moves of theirs."""
        self._probes += 1
        fewer = max(self._least_parts, -(-self._parts // 2))
        if self._probes < PROBE or fewer == self._parts:
            return
        if LEAST_MOVES * spent * (self._parts / fewer) ** GROWTH <= self.remaining():
            self._parts = fewer
            self._probes = 0

    def _redistribute(
        self, picked: NDArray[np.int64], temperature: float, part: int, workers: int
    ) -> NDArray[np.int64]:
        """Move the groups of a part; which changed."""
        rng = self._rngs[part]
        members, chosen = _kernels.choose(self.groups, picked, self.problem.columns, rng)
        gain = self._exchange(members, chosen, part, workers)
        if gain is None:
            return np.empty(0, np.int64)
        moved: NDArray[np.int64]
        moved, trial, cycle = _kernels.redistributed(
            self.groups, members, chosen, gain, temperature / self._unit, self._noise, self._prices, rng
        )
        if temperature == 0.0:
            values = self._scored(trial)
            gained = np.bincount(cycle, values - self._values[moved])[cycle] > 0.0
            moved, trial = moved[gained], trial[gained]
            self._values[moved] = values[gained]
        else:
            self._stale[moved] = True
        self.groups[moved] = trial
        return moved

    def _keep(self, changed: NDArray[np.int64], spent: float) -> None:
        """After a move of so many seconds bring the kept matrix up to date, begin to keep one, or stop."""
        count, m = self.groups.shape
        self._share += RECENT * (len(changed) / count * m * m - self._share)
        if self._matrix is not None:
            if self._share > 1.0:
                self._forget()
            else:
                self._refresh(self._matrix, changed)
        elif self.device is None and self._share < 1.0 and 4 * self.groups.size**2 <= KEPT_BYTES:
            self._computed += 1
            self._spent += spent
            # As much as the whole matrix takes: what it saves will be worth it, if there is time.
            if self._computed >= m * m and self._spent < KEPT_TIME * (1.0 - self._share) * self.remaining():
                self._matrix = np.empty((self.groups.size, self.groups.size), np.float32)
                self._refresh(self._matrix, np.arange(count))

    def _forget(self) -> None:
        self._matrix = None
        self._computed, self._spent = 0, 0.0

    def _refresh(self, matrix: NDArray[np.float32], changed: NDArray[np.int64]) -> None:
        m = self.groups.shape[1]
        members = np.column_stack([np.repeat(changed, m), np.tile(np.arange(m), len(changed))])
        everything = np.arange(self.groups.size)
        if not self._compute(members, everything, matrix, self.groups[changed].ravel(), self.workers):
            self._forget()

    def _scored(self, groups: Groups) -> NDArray[np.float64]:
        """What groups keep, in the scale of ``problem.working``."""
        if self.device is not None:
            return self.device.group_values(groups)
        values = np.empty(groups.shape[0], np.float64)
        group_values(self.problem.working, groups, self.problem.pattern.n, values)
        return values

    def _exchange(
        self, members: NDArray[np.int64], chosen: NDArray[np.int64], part: int, workers: int
    ) -> NDArray[np.float32] | None:
        """What each chosen column would gain in the place of each other; ``-FAR`` in columns beyond, to whole steps.

        It is where the last one of the same part was. None when the search was stopped meanwhile.
        """
        count = chosen.shape[0]
        width = -(-count // STEP) * STEP
        if self._buffers[part].size < count * width:
            self._buffers[part] = np.empty(count * width, np.float32)
        gain = self._buffers[part][: count * width].reshape(count, width)
        if self.device is not None:
            self.device.submatrix(self.groups, members, chosen, gain)
        elif self._matrix is not None:
            _kernels.pick(self._matrix, chosen, gain)
        elif not self._compute(members, chosen, gain, np.arange(count), workers):
            return None
        gain[:, count:] = -FAR
        return gain

    def _compute(
        self,
        members: NDArray[np.int64],
        columns: NDArray[np.int64],
        out: NDArray[np.float32],
        targets: NDArray[np.int64],
        workers: int,
    ) -> bool:
        """Rows of the exchange matrix, the columns shared among workers; whether all, False when stopped meanwhile."""
        count = columns.shape[0]
        slices = max(1, min(workers, count // MIN_SLICE))
        edges = [count * k // slices // 2 * 2 for k in range(slices)] + [count]

        some = BATCH * math.ceil(LOOK / (BATCH * self.problem.rows * max(1, count // slices)))

        def part(k: int) -> bool:
            first, last = edges[k], edges[k + 1]
            own = columns[first:last]
            for start in range(0, len(members), some):
                if start and self.stopped():
                    return False
                rows = slice(start, start + some)
                exchange(self._x, self.groups, members[rows], self.problem.pattern.n, own, first, out, targets[rows])
            return True

        others = [self.pool.submit(part, k) for k in range(1, slices)]
        return all([part(0), *(task.result() for task in others)])

    def spread(self) -> float:
        """Interquartile range of what a swap of two random columns of different groups changes: a robust scale.

        At least a tiny positive number, also for data on which swaps change nothing. Read on the true saliency.
        """
        gains = []
        for _ in range(4):
            picked = self.rng.permutation(self.groups.shape[0])[:64]
            members, chosen = _kernels.choose(self.groups, picked, self.problem.columns, self.rng)
            gain = self._exchange(members, chosen, 0, 1)
            if gain is None:
                break
            gain = gain[:, : len(chosen)]
            gains.append((gain + gain.T)[np.triu_indices(picked.shape[0], 1)])
        low, high = np.quantile(np.concatenate(gains), [0.25, 0.75]) if gains else (0.0, 0.0)
        least = 1e-9 * float(self.values.max())
        return max(float(high - low), least, float(np.finfo(np.float32).tiny))
