"""A linear programme over a long list of groups, of which only those that its prices call for are in it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from permsolve_solvers.set_partition._kernels import reduced_costs
from permsolve_solvers.set_partition.lp import Groups, PartitionLp, Triple, Values

Mask = NDArray[np.bool_]

# Groups that enter the linear programme at first and per round.
_FIRST = 3000
_MORE = 1000
_PRICED_OUT = 1e-9


@dataclass(frozen=True, slots=True)
class PoolSolution:
    """The solution of a linear programme over the active groups of a pool.

    Attributes
    ----------
    numbers : ndarray of int64
        The groups with a share in it.
    x : ndarray of float64
        Their shares.
    duals : ndarray of float64, shape (columns,)
        Price of each column.
    triples : tuple of tuples of int
        The cuts that have a price.
    weights : ndarray of float64, shape (triples,)
        The price of each.
    reduced : ndarray of float64, shape (groups of the pool,)
        Reduced cost of every group of the pool.
    excess : float
        No active group has a larger reduced cost.
    bound : float
        No partition into active groups is worth more: from the prices, whatever the programme's tolerances.
    """

    numbers: NDArray[np.int64]
    x: Values
    duals: Values
    triples: tuple[Triple, ...]
    weights: Values
    reduced: Values
    excess: float
    bound: float


class Pool:
    """Groups, their values, and the linear programme over them, cuts included.

    Parameters
    ----------
    groups : ndarray of int64, shape (K, M)
        Columns ascending in each group.
    values : ndarray of float64, shape (K,)
        What each is worth; to be scaled so that the largest is about 1.
    columns : int
        Number of columns to partition.
    inside : ndarray of int64, optional
        Numbers of the groups to begin with; those of most value for what their columns are worth on average, if not
        given.
    triples : sequence of tuples of int, optional
        Cuts to begin with.
    """

    def __init__(
        self,
        groups: Groups,
        values: Values,
        columns: int,
        inside: NDArray[np.int64] | None = None,
        triples: Sequence[Triple] = (),
    ) -> None:
        self.groups = groups
        self.values = values
        self.columns = columns
        self._numbers = _promising(groups, values, columns) if inside is None else inside
        self._inside = np.zeros(groups.shape[0], np.bool_)
        self._inside[self._numbers] = True
        self._lp = PartitionLp(groups[self._numbers], values[self._numbers], columns)
        self._lp.cut(triples)

    def __len__(self) -> int:
        return int(self.groups.shape[0])

    def solve(self, active: Mask, seconds: Callable[[], float], enough: float = -np.inf) -> PoolSolution | None:
        """Solve over the active groups, or until the bound is at most ``enough``; None when the time is up before.

        Parameters
        ----------
        active : ndarray of bool, shape (K,)
            The groups that may be used.
        seconds : callable
            Seconds left.
        enough : float
            A bound that is low enough.
        """
        while True:
            self._lp.restrict(active[self._numbers])
            solution = self._lp.solve(seconds())
            if solution is None:
                return None
            used = np.flatnonzero(solution.weights > 0.0)
            triples = tuple(self._lp.triples[k] for k in used)
            reduced = self._reduced(solution.duals, triples, solution.weights[used])
            largest = max(0.0, float(reduced[active].max(initial=0.0)))
            base = math.fsum(solution.duals) + math.fsum(solution.weights[used])
            bound = base + self.columns // self.groups.shape[1] * largest
            wanted = np.flatnonzero((reduced > _PRICED_OUT) & active & ~self._inside)
            if not wanted.size or bound <= enough:
                shares = np.flatnonzero(solution.x > _PRICED_OUT)
                return PoolSolution(
                    self._numbers[shares],
                    solution.x[shares],
                    solution.duals,
                    triples,
                    solution.weights[used],
                    reduced,
                    largest,
                    bound,
                )
            if wanted.size > _MORE:
                wanted = wanted[np.argpartition(-reduced[wanted], _MORE)[:_MORE]]
                wanted.sort()
            self._inside[wanted] = True
            self._numbers = np.concatenate([self._numbers, wanted])
            self._lp.add(self.groups[wanted], self.values[wanted])

    def _reduced(self, duals: Values, triples: Sequence[Triple], weights: Values) -> Values:
        """Reduced costs of all groups."""
        pairs = np.zeros((self.columns, self.columns))
        for (a, b, c), weight in zip(triples, weights, strict=True):
            pairs[[a, a, b], [b, c, c]] += weight
        keys = np.array([(a * self.columns + b) * self.columns + c for a, b, c in triples], np.int64)
        order = np.argsort(keys)
        out = np.empty(len(self))
        reduced_costs(self.groups, self.values, duals, pairs, keys[order], weights[order], out)
        return out

    def cut(self, triples: Sequence[Triple]) -> None:
        """Append the cuts of these triples of columns, ascending in each."""
        self._lp.cut(triples)

    def shrunk(self, active: Mask, solution: PoolSolution) -> "Pool":
        """The active groups alone, with the cuts that have a price."""
        place = np.cumsum(active) - 1
        kept = self._numbers[active[self._numbers] & (solution.reduced[self._numbers] > -0.01)]
        return Pool(self.groups[active], self.values[active], self.columns, place[kept], solution.triples)

    def sides(self, pair: tuple[int, int]) -> tuple[Mask, Mask]:
        """Which groups agree with the pair being together, and with its being apart."""
        one = (self.groups == pair[0]).any(axis=1)
        other = (self.groups == pair[1]).any(axis=1)
        return one == other, ~(one & other)

    def glance(self, active: Mask, iterations: int) -> float:
        """About the bound over the active groups, after some simplex iterations and without new groups."""
        self._lp.restrict(active[self._numbers])
        return self._lp.glance(iterations)


def _promising(groups: Groups, values: Values, columns: int) -> NDArray[np.int64]:
    """Numbers of the groups of most value beyond what their columns are worth, by the mean of what holds them."""
    share = np.zeros(columns)
    times = np.zeros(columns)
    for position in range(groups.shape[1]):
        np.add.at(share, groups[:, position], values)
        np.add.at(times, groups[:, position], 1.0)
    share /= np.maximum(times, 1.0) * groups.shape[1]
    return np.sort(np.argsort(-(values - share[groups].sum(axis=1)), kind="stable")[:_FIRST])
