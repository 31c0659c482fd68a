"""The linear programme over all groups, solved by generating them, with a valid bound at every round."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from permsolve.certificate import Certificate, Node
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve_solvers.pricing.pricers import Groups, Priced, Pricer, Values
from permsolve_solvers.set_partition.lp import LpSolution, PartitionLp

# Groups added per round: until each column has so many, and at most so many times the number of columns.
_PER_COLUMN = 5
_PER_ROUND = 8
# Programme and bound have met when they agree to this share.
_MET = 1e-9
_PRICED_OUT = 1e-9
# A round looks at so many elementary steps' worth of groups, or at this share of all, as long as that finds enough.
_QUICK = 3 * 10**9
_PART = 0.02
# Rounds that raise and lower prices by what they find before there is a linear programme.
_STEPS = 5
# Where the next prices are, on the way from the programme's to the best ones so far (Pessoa et al. 2018), until
# programme and bound are this close.
_SMOOTHING = 0.5
_CLOSE = 1e-4
# All groups may take so many times what the last rounds suggest; so many more rounds there must be time for before.
_SLACK = 1.2
_ROUNDS = 2.0
# More than a float64 sum of a few numbers loses, as a share of them.
_ROUNDING = 1e-15


def first_prices(problem: Problem, value: float, exponent: int) -> Values:
    """Prices to begin with, in units of ``2**exponent``, padding columns included; they add up to ``value``.

    A column is dearer than the mean by N/M of what it weighs more: what it brings to a group where that share of its
    entries is kept.
    """
    weights: Values = np.ldexp(problem.padded.sum(axis=1, dtype=np.float64), -exponent)
    share = problem.pattern.n / problem.pattern.m
    prices: Values = share * (weights - weights.mean()) + float(np.ldexp(value, -exponent)) / weights.size
    return prices


@dataclass(eq=False)
class Generation:
    """Column generation for ``max sum_S f(S) x_S``, every column in exactly one group.

    Let ``r_j`` be the largest reduced cost, under prices u, of the groups that hold column j. No group is worth more
    than its columns cost under ``u + r / M``, since its reduced cost is at most the mean of their r. The sum of these
    prices bounds every partition; the best of these bounds is reported to the run at once. The next prices lie
    between those of the best bound and those of the linear programme: near the former, bounds are good from the first
    rounds on. Values are in units of ``2**exponent``.

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

    References
    ----------
    A. Pessoa, R. Sadykov, E. Uchoa, F. Vanderbeck. *Automation and combination of linear-programming based
    stabilization techniques in column generation.* INFORMS Journal on Computing 30(2), 2018. doi:10.1287/ijoc.2017.0784
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
        # Prices of the least sum so far under which no group that was seen is worth more than its columns.
        self._centre = np.empty(0)

    def solve(self, prices: Values) -> bool:
        """Generate groups until the bound meets the programme; False when the run stopped before.

        A round looks at part of the groups where there are many, and at all of them when that has found little, has
        taken as long, or when the time calls for it: only then there is a bound.

        Parameters
        ----------
        prices : ndarray of float64, shape (C,)
            The first prices.
        """
        partial = min(1.0, max(_PART, _QUICK / self.pricer.cost))
        share = partial
        looked = 0.0  # shares of the groups, since all were looked at
        steps = _STEPS
        whole_seconds = np.inf
        while not self.run.should_stop(iterations=1):
            begun = perf_counter()
            priced = self.pricer.price(prices, share, self._known(prices))
            if priced is None:
                return False
            seconds = perf_counter() - begun
            whole_seconds = _SLACK * seconds if priced.complete else min(whole_seconds, _SLACK * seconds / share)
            groups, values = self._candidates(priced)
            self._take(prices, priced, groups, values)
            added = self._add(groups, values)
            if self._gap() <= _MET or (priced.complete and not added and self._exact(prices)):
                return True
            few = added < self.columns // 2
            in_time = not priced.complete
            if self.solution is None and steps:
                steps -= 1
                prices = self._centre
                few = False
            elif added or self.solution is None:
                left = self.run.remaining - (whole_seconds if in_time else 0.0)
                solution = self._lp.solve(max(left, 0.0))
                if solution is None and not in_time:
                    return False
                self.solution = solution or self.solution
                few |= solution is None
                prices = self._between(_SMOOTHING)
            else:
                prices = self._between(0.0 if priced.complete else _SMOOTHING)
            looked = 0.0 if priced.complete else looked + share
            if self.run.timed:
                few |= self.run.remaining < whole_seconds + _ROUNDS * (perf_counter() - begun)
            share = 1.0 if few or looked >= 1.0 else partial
            if share >= 1.0 and not priced.complete:
                prices = self._centre
            if self.run.timed and share >= 1.0 and self.run.remaining < whole_seconds:
                return False
        return False

    def _exact(self, prices: Values) -> bool:
        """Whether these are the prices of the programme."""
        return self.solution is not None and prices is self.solution.duals

    def _gap(self) -> float:
        """By which share of it the bound exceeds the programme."""
        if self.solution is None or not np.isfinite(self.bound):
            return np.inf
        return (self.bound - self.solution.value) / self.bound

    def _between(self, smoothing: float) -> Values:
        """The next prices: those of the programme, or between them and the best so far."""
        if self.solution is None:
            return self._centre
        if smoothing == 0.0 or self._gap() <= _CLOSE:
            return self.solution.duals
        return smoothing * self._centre + (1.0 - smoothing) * self.solution.duals

    def _known(self, prices: Values) -> Values:
        """The largest reduced cost of a group of the programme that holds each column."""
        most = np.full(self.columns, -np.inf)
        reduced = self.values - prices[self.groups].sum(axis=1)
        np.maximum.at(most, self.groups, reduced[:, None])
        return most

    def _candidates(self, priced: Priced) -> tuple[Groups, Values]:
        """The groups that were found, the best first, and what they are worth."""
        groups = priced.groups[np.argsort(-priced.reduced, kind="stable")]
        return groups, self.score(groups)

    def _take(self, prices: Values, priced: Priced, groups: Groups, values: Values) -> None:
        """Report the bound of these prices, and keep the best ones."""
        m = self.groups.shape[1]
        raised = prices + priced.most / m
        if self._centre.size:  # may have been too low for groups that nobody had looked at
            over = np.zeros(self.columns)
            np.maximum.at(over, groups, (values - self._centre[groups].sum(axis=1))[:, None])
            self._centre = self._centre + over / m
        if not self._centre.size or raised.sum() < self._centre.sum():
            self._centre = raised
        if not priced.complete:
            return
        # A reduced cost is a value and M prices, summed in float64: each step loses a share of what is summed.
        largest = float(np.abs(prices).max()) + float(np.abs(raised).max())
        node = Node(raised).stating(_ROUNDING * m * 2.0 * largest, self.columns // m)
        if node.bound * (1.0 + _ROUNDING) < self.bound:
            self.bound = node.bound * (1.0 + _ROUNDING)
            self.duals = raised
            self.excess = node.excess
            safe = float(np.ldexp(self.bound, self.exponent))
            self.run.tighten(safe, Certificate("duals", safe, (node.scaled(self.exponent),)))

    def _add(self, groups: Groups, values: Values) -> int:
        """Add the best groups, some for every column; how many."""
        if self.solution is None:
            reduced = np.full(values.shape, np.inf)
        else:
            reduced = values - self.solution.duals[groups].sum(axis=1)
        held = np.zeros(self.columns, np.int64)
        chosen: list[int] = []
        for k in np.flatnonzero(reduced > _PRICED_OUT):
            if held[groups[k]].min() < _PER_COLUMN:
                held[groups[k]] += 1
                chosen.append(int(k))
                if len(chosen) >= _PER_ROUND * self.columns:
                    break
        if chosen:
            self._lp.add(groups[chosen], values[chosen])
            self.groups = np.concatenate([self.groups, groups[chosen]])
            self.values = np.concatenate([self.values, values[chosen]])
        return len(chosen)
