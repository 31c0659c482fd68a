"""The linear programme over all groups, solved by generating them, with a valid bound at every round."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from permsolve.certificate import Certificate, Node
from permsolve.run import Run
from permsolve_solvers.pricing.pricers import Groups, Priced, Pricer, Values
from permsolve_solvers.set_partition.lp import LpSolution, PartitionLp

# Groups added per round: until each column has so many, and at most so many times the number of columns.
_PER_COLUMN = 5
_PER_ROUND = 8
# Programme and bound have met when they agree to this share.
_MET = 1e-9
_PRICED_OUT = 1e-9
# Elementary steps of a pass above which only part of the groups is looked at per round, as long as that finds enough.
_QUICK = 3 * 10**10
# More than a float64 sum of a few numbers loses, as a share of them.
_ROUNDING = 1e-15


@dataclass(eq=False)
class Generation:
    """Column generation for ``max sum_S f(S) x_S``, every column in exactly one group.

    For any prices u, ``sum(u) + G * max(0, largest reduced cost)`` bounds every partition into G groups; the best of
    these bounds is reported to the run at once. Values are in units of ``2**exponent``.

    Attributes
    ----------
    duals : ndarray of float64, shape (C,)
        Prices that gave the best bound.
    excess : float
        No group has a larger reduced cost under them.
    bound : float
        The best bound, inf before the first.
    groups, values
        The groups of the linear programme and what they are worth.
    solution : LpSolution or None
        The last solution of the programme.
    """

    run: Run
    pricer: Pricer
    columns: int
    exponent: int
    score: Callable[[Groups], Values]
    duals: Values = field(init=False)
    excess: float = field(default=np.inf, init=False)
    bound: float = field(default=np.inf, init=False)
    groups: Groups = field(init=False)
    values: Values = field(init=False)
    solution: LpSolution | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.duals = np.empty(0)

    def start(self, groups: Groups) -> None:
        """Begin with these groups, which hold a whole partition."""
        self.groups = groups
        self.values = self.score(groups)
        self._lp = PartitionLp(groups, self.values, self.columns)

    def solve(self) -> bool:
        """Generate groups until the bound meets the programme; False when the run stopped before."""
        m = self.groups.shape[1]
        # The first prices: a column's share of what its group keeps, by its weight would do as well.
        prices = np.full(self.columns, float(self.values[: self.columns // m].sum()) / self.columns)
        partial = min(1.0, _QUICK / self.pricer.cost)
        share = partial
        while True:
            begun = perf_counter()
            priced = self.pricer.price(prices, share)
            if priced is None:
                return False
            whole_seconds = (perf_counter() - begun) / share
            self._report(prices, priced)
            if self.run.should_stop(iterations=1):
                return False
            value = -np.inf if self.solution is None else self.solution.value
            if np.isfinite(self.bound) and self.bound - value <= _MET * self.bound:
                return True
            added = self._add(priced, prices)
            if not added:
                if share >= 1.0:
                    return True
                share = 1.0
                continue
            # A look at part of the groups pays while it finds many; at the end, and in time for a bound, all count.
            sparse = added < self.columns // 2
            late = self.run.timed and np.isinf(self.bound) and self.run.remaining < 3.0 * whole_seconds
            share = 1.0 if sparse or late else partial
            solution = self._lp.solve(self.run.remaining)
            if solution is None:
                return False
            self.solution = solution
            prices = solution.duals

    def _report(self, prices: Values, priced: Priced) -> None:
        """Take the bound of these prices when it is the best so far."""
        m = self.groups.shape[1]
        count = self.columns // m
        # A reduced cost is a value and M prices, summed in float64: each step loses a share of what is summed.
        lost = _ROUNDING * (abs(priced.largest) + m * float(np.abs(prices).max()))
        if not np.isfinite(priced.largest):
            return
        node = Node(prices).stating(max(0.0, priced.largest) + lost, count)
        if node.bound * (1.0 + _ROUNDING) < self.bound:
            self.bound = node.bound * (1.0 + _ROUNDING)
            self.duals = prices
            self.excess = node.excess
            safe = float(np.ldexp(self.bound, self.exponent))
            self.run.tighten(safe, Certificate("duals", safe, (node.scaled(self.exponent),)))

    def _add(self, priced: Priced, prices: Values) -> int:
        """Add the best groups, some for every column; how many."""
        order = np.argsort(-priced.reduced, kind="stable")
        if self.solution is not None:  # scored in float64: rounding must not add what the programme holds
            order = order[: np.searchsorted(-priced.reduced[order], self.pricer.error)]
        groups = priced.groups[order]
        values = self.score(groups)
        reduced = values - prices[groups].sum(axis=1)
        held = np.zeros(self.columns, np.int64)
        chosen: list[int] = []
        for k, group in enumerate(groups):
            worth = self.solution is None or reduced[k] > _PRICED_OUT
            if worth and held[group].min() < _PER_COLUMN:
                held[group] += 1
                chosen.append(k)
                if len(chosen) >= _PER_ROUND * self.columns:
                    break
        if chosen:
            self._lp.add(groups[chosen], values[chosen])
            self.groups = np.concatenate([self.groups, groups[chosen]])
            self.values = np.concatenate([self.values, values[chosen]])
        return len(chosen)
