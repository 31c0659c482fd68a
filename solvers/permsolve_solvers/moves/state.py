"""Some groups of a problem with their exchange matrix: the state of searches by swaps."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from permsolve.kernels.exchange import exchange
from permsolve.kernels.scoring import group_values

Groups = NDArray[np.int64]
Saliency = NDArray[np.float32] | NDArray[np.uint8]


@dataclass(eq=False)
class State:
    """Some groups of a problem as a problem of their own, with their exchange matrix.

    Columns are renumbered ``0 .. width - 1``, padding columns last; ``names`` translates back. When the state
    spans all columns it shares the saliency with the problem, otherwise it holds a copy of its own columns.

    Attributes
    ----------
    names : ndarray of int64, shape (width,)
        Column of the problem for each column of the state.
    x : ndarray of float32 or uint8, shape (width, rows)
        Saliency, columns first, or its coarse form (:mod:`permsolve.kernels.coarse`).
    groups : ndarray of int64, shape (G, M)
        Current groups.
    where : ndarray of int64, shape (width,)
        Group of each column.
    values : ndarray of float64, shape (G,)
        What each group keeps, in the scale of ``x``.
    e : ndarray of float32, shape (width, width)
        Exchange matrix.
    n : int
        Entries kept per group and row.
    real : int
        Columns that may move.
    """

    names: NDArray[np.int64]
    x: Saliency
    groups: Groups
    where: NDArray[np.int64]
    values: NDArray[np.float64]
    e: NDArray[np.float32]
    n: int
    real: int

    @classmethod
    def of(cls, x: Saliency, groups: Groups, n: int, columns: int) -> Self:
        """The state of these groups of a problem whose saliency is ``x`` and that has ``columns`` real columns."""
        width = groups.size
        if width == x.shape[0]:
            names = np.arange(width)
            part, local = x, groups.copy()
        else:
            names = np.sort(groups.ravel())
            part = x[names]
            part.flags.writeable = False  # like the problem's own: the kernels are compiled for one kind of array
            local = np.searchsorted(names, groups)
        where = np.empty(width, np.int64)
        where[local.ravel()] = np.repeat(np.arange(local.shape[0]), local.shape[1])
        values = np.empty(local.shape[0], np.float64)
        group_values(part, local, n, values)
        state = cls(
            names,
            part,
            local,
            where,
            values,
            np.empty((width, width), np.float32),
            n,
            int(np.searchsorted(names, columns)),
        )
        state.refresh(np.arange(local.shape[0]))
        return state

    def copy(self) -> Self:
        """An independent state with the same groups; the saliency is shared."""
        return replace(
            self,
            groups=self.groups.copy(),
            where=self.where.copy(),
            values=self.values.copy(),
            e=self.e.copy(),
        )

    def refresh(self, changed: NDArray[np.int64]) -> None:
        """Recompute the exchange matrix for the columns of some groups."""
        m = self.groups.shape[1]
        members = np.column_stack([np.repeat(changed, m), np.tile(np.arange(m), changed.shape[0])])
        exchange(
            self.x,
            self.groups,
            members,
            self.n,
            np.arange(self.x.shape[0]),
            0,
            self.e,
            self.groups[changed].ravel(),
        )

    def reset(self, groups: Groups) -> None:
        """Go to other groups of the same columns, recomputing only what differs."""
        changed = np.flatnonzero((groups != self.groups).any(axis=1))
        self.groups[changed] = groups[changed]
        self.where[self.groups[changed].ravel()] = np.repeat(changed, self.groups.shape[1])
        values = np.empty(changed.shape[0], np.float64)
        group_values(self.x, self.groups[changed], self.n, values)
        self.values[changed] = values
        self.refresh(changed)

    def spread(self, rng: np.random.Generator) -> float:
        """A robust scale of what a random swap changes: the interquartile range over random swaps.

        At least a tiny positive number, also for data on which swaps change nothing.
        """
        i, j = rng.integers(self.real, size=(2, 4096))
        other = self.where[i] != self.where[j]
        gains = (self.e[i, j] + self.e[j, i])[other]
        low, high = np.quantile(gains, [0.25, 0.75]) if gains.size else (0.0, 0.0)
        return max(float(high - low), 1e-9 * float(self.values.sum()), float(np.finfo(np.float32).tiny))

    def named(self, groups: Groups) -> Groups:
        """Groups of this state's columns in the problem's numbers."""
        return self.names[groups]
