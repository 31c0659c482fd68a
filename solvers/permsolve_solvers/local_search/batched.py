"""Swap descent by many swaps at once, for exchange matrices that are far away: on a GPU."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from permsolve.problem import Problem
from permsolve.run import Run
from permsolve_solvers.local_search import _kernels
from permsolve_solvers.moves.state import Groups


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


class BatchedDescent:
    """Swap descent, a batch of swaps at a time.

    The best swap of every column is read off the exchange matrix; those that share no group gain what they gain
    alone, so that the best of them, greedily chosen, are all done at once, each checked in float64 and taken back
    when it does not gain. The matrix is kept from one descent to the next, and only rows of groups that have changed
    are computed anew. One iteration is one batch of swaps.

    Parameters
    ----------
    problem : Problem
        The problem.
    matrix : ExchangeMatrix
        Its exchange matrix.
    groups : ndarray of int64, shape (G, M)
        Groups to begin with.
    """

    def __init__(self, problem: Problem, matrix: ExchangeMatrix, groups: Groups) -> None:
        self._problem = problem
        self._matrix = matrix
        self._groups = groups.copy()
        self._where = np.empty(groups.size, np.int64)
        self._values = np.empty(groups.shape[0], np.float64)
        matrix.hold()
        self._commit(np.arange(groups.shape[0]), matrix.group_values(groups))

    def descended(self, groups: Groups, run: Run) -> Groups:
        """The groups after batches of swaps until none gains, or the run says stop; not to be changed."""
        changed = np.flatnonzero((groups != self._groups).any(axis=1))
        self._groups[changed] = groups[changed]
        self._commit(changed, self._matrix.group_values(groups[changed]))
        while not run.should_stop(iterations=1) and self._swap_batch() > 0:
            pass
        return self._groups

    def _commit(self, changed: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Some groups have changed and keep ``values`` now: bring the rest up to date."""
        self._values[changed] = values
        self._where[self._groups[changed].ravel()] = np.repeat(changed, self._groups.shape[1])
        self._matrix.refresh(self._groups, changed)

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
