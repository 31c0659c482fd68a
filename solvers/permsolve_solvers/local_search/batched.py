"""Swap descent and perturbation by many moves at once, for exchange matrices that are far away: on a GPU."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from permsolve.permutation import from_groups, to_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve_solvers.local_search import _kernels

Groups = NDArray[np.int64]

# Of so many groups, one kick is made at once; a step costs about the same for one kick as for a hundred.
GROUPS_PER_KICK = 64
# Random swaps whose changes give the unit of the temperature.
SAMPLE = 512


class ExchangeMatrix(Protocol):
    """The exchange matrix of all columns: see :class:`permsolve.kernels.device.exchange.DeviceExchange`."""

    def group_values(self, groups: Groups) -> NDArray[np.float64]:
        """What groups keep, summed in float64."""
        ...

    def hold(self) -> None:
        """Make room for it."""
        ...

    def refresh(self, groups: Groups, changed: NDArray[np.int64]) -> None:
        """Bring the rows of the members of some groups up to date."""
        ...

    def best_partners(self, where: NDArray[np.int64], real: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """For each column what its best swap gains, 0 when none does, and with which column; -1: none."""
        ...


class BatchedSearch:
    """Iterated descent, a batch of swaps at a time.

    The best swap of every column is read off the exchange matrix; those that share no group gain what they gain
    alone, so that the best of them, greedily chosen, are all done at once, each checked in float64 and taken back
    when it does not gain. At a local optimum a kick rotates a column through 2 to ``kick`` groups, in many places at
    once. After the next descent the groups fall into parts that exchanged columns among themselves only: each part's
    outcome stays if it gained, or with probability ``exp(change / temperature)``, as if it had been kicked alone.
    One iteration is one batch of swaps or one kick of one place.

    Parameters
    ----------
    problem : Problem
        The problem.
    matrix : ExchangeMatrix
        Its exchange matrix.
    rng : numpy.random.Generator
        Makes all random choices.
    kick : int
        Most groups that a kick rotates a column through, >= 2.
    temperature : float
        In units of the interquartile range of what a random swap changes at the first local optimum, > 0.
    """

    def __init__(
        self, problem: Problem, matrix: ExchangeMatrix, rng: np.random.Generator, kick: int, temperature: float
    ) -> None:
        self._problem = problem
        self._matrix = matrix
        self._rng = rng
        self._kick = min(kick, problem.group_count)
        self._temperature = temperature

    def search(self, run: Run) -> None:
        """Search from the best permutation of the run until it says stop."""
        self._start(to_groups(run.permutation, self._problem.pattern))
        self._descend(run)
        self._offer(run)
        best = float(self._values.sum())
        temperature = self._temperature * self._spread()
        while not run.should_stop():
            groups, where, values = self._groups.copy(), self._where.copy(), self._values.copy()
            run.should_stop(iterations=self._perturb())
            self._descend(run)
            lost = self._lost(where, values, temperature)
            self._groups[lost] = groups[lost]
            self._commit(lost, values[lost])
            if (value := float(self._values.sum())) > best:
                best = value
                self._offer(run)

    def _offer(self, run: Run) -> None:
        run.offer(from_groups(self._groups, self._problem.columns))

    def _lost(self, where: NDArray[np.int64], values: NDArray[np.float64], temperature: float) -> NDArray[np.int64]:
        """The groups of the parts whose outcome is not to stay, given where columns were and what groups kept."""
        count = values.shape[0]
        moved = np.flatnonzero(where != self._where)
        links = coo_array((np.ones(moved.shape[0]), (where[moved], self._where[moved])), shape=(count, count))
        parts, part = connected_components(links, directed=False)
        change = np.bincount(part, self._values - values, parts)
        stays = self._rng.random(parts) < np.exp(np.minimum(change, 0.0) / temperature)
        return np.flatnonzero(~stays[part])

    def _start(self, groups: Groups) -> None:
        """Begin with some groups: score them, and compute their whole exchange matrix."""
        self._groups = groups
        self._where = np.empty(groups.size, np.int64)
        self._values = np.empty(groups.shape[0], np.float64)
        self._matrix.hold()
        everything = np.arange(groups.shape[0])
        self._commit(everything, self._matrix.group_values(groups))

    def _commit(self, changed: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Some groups have changed and keep ``values`` now: bring the rest up to date."""
        self._values[changed] = values
        self._where[self._groups[changed].ravel()] = np.repeat(changed, self._groups.shape[1])
        self._matrix.refresh(self._groups, changed)

    def _descend(self, run: Run) -> None:
        """Batches of swaps until none gains."""
        while not run.should_stop(iterations=1) and self._swap_batch() > 0:
            pass

    def _swap_batch(self) -> int:
        """Do the best swaps of disjoint groups; how many gained."""
        gains, partners = self._matrix.best_partners(self._where, self._problem.columns)
        pairs = np.empty((self._groups.shape[0] // 2 + 1, 2), np.int64)
        order = np.argsort(-gains, kind="stable")
        count = _kernels.disjoint_swaps(order, gains, partners, self._where, self._values, pairs)
        touched, swapped, values = self._swapped(*pairs[:count].T)
        better = values.sum(axis=0) > self._values[touched].sum(axis=0)
        if better.any():
            changed = touched[:, better].ravel()
            self._groups[changed] = swapped[:, better].reshape(len(changed), -1)
            self._commit(changed, values[:, better].ravel())
        return int(better.sum())

    def _swapped(
        self, i: NDArray[np.int64], j: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """What swaps of columns ``i`` and ``j`` make of their two groups, each swap alone.

        Returns
        -------
        touched : ndarray of int64, shape (2, swaps)
            The groups.
        swapped : ndarray of int64, shape (2, swaps, M)
            Their columns afterwards.
        values : ndarray of float64, shape (2, swaps)
            What they keep then.
        """
        touched = np.stack([self._where[i], self._where[j]])
        groups, out, into = self._groups[touched], np.stack([i, j])[..., None], np.stack([j, i])[..., None]
        swapped = np.where(groups == out, into, groups)
        values = self._matrix.group_values(swapped.reshape(-1, groups.shape[2])).reshape(touched.shape)
        return touched, swapped, values

    def _perturb(self) -> int:
        """Rotate a random column through some groups, in many places at once; how many places."""
        count = len(self._groups)
        order = self._rng.permutation(count)
        places = max(1, count // max(GROUPS_PER_KICK, self._kick))
        touched = []
        begin = 0
        for _ in range(places):
            chosen = order[begin : begin + int(self._rng.integers(2, self._kick + 1))]
            begin += len(chosen)
            positions = [self._movable(int(g)) for g in chosen]
            columns = self._groups[chosen, positions]
            self._groups[chosen, positions] = np.roll(columns, 1)
            touched.append(chosen)
        changed = np.concatenate(touched)
        self._commit(changed, self._matrix.group_values(self._groups[changed]))
        return places

    def _movable(self, g: int) -> int:
        """Position of a random column of a group that is no padding."""
        positions = np.flatnonzero(self._groups[g] < self._problem.columns)
        return int(self._rng.choice(positions))

    def _spread(self) -> float:
        """Interquartile range of what a random swap changes, at least a tiny positive number."""
        i, j = self._rng.integers(self._problem.columns, size=(2, SAMPLE))
        apart = self._where[i] != self._where[j]
        touched, _, values = self._swapped(i[apart], j[apart])
        change = values.sum(axis=0) - self._values[touched].sum(axis=0)
        low, high = np.quantile(change, [0.25, 0.75]) if change.size else (0.0, 0.0)
        return max(float(high - low), 1e-9 * float(self._values.sum()), float(np.finfo(np.float32).tiny))
