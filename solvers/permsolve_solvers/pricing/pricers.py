"""Pricing: which groups are worth more than their columns cost."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from permsolve.cores import Threads
from permsolve.kernels.absolute_differences import STEP
from permsolve.kernels.coarse import coarse
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve_solvers.pricing._kernels import combinations, list_above, price_list, price_quads

Groups = NDArray[np.int64]
Values = NDArray[np.float64]

# Most groups that are kept in a list, with their values, where they can also be priced without one.
_LISTED_QUADS = 1_000_000
# Most groups that are kept in a list otherwise, and most entries read to value them.
_LISTED = 12_000_000
_LISTED_WORK = 6 * 10**10
# Most columns whose groups are swept pair by pair: the pairs are listed, and a pass takes hours long before.
_SWEPT_COLUMNS = 4096
# Elementary steps between two looks at the clock, per worker.
_SLICE = 2 * 10**8
# Room for listed groups, per slice.
_ROOM = 500_000
_ROUNDING = 2.0**-52
_UNIT = 2.0**-24  # half the spacing of float32 numbers near 1


@dataclass(frozen=True, slots=True)
class Priced:
    """What a pass over the groups found.

    Attributes
    ----------
    groups : ndarray of int64, shape (K, M)
        The best group of many pairs of leading columns.
    reduced : ndarray of float64, shape (K,)
        About what each is worth beyond the prices of its columns.
    most : ndarray of float64, shape (C,)
        No group that was looked at, nor one that was known, and that holds the column has a larger reduced cost.
    complete : bool
        Whether all groups were looked at.
    """

    groups: Groups
    reduced: Values
    most: Values
    complete: bool


class Pricer(Protocol):
    """Prices all groups of a problem; group values are in units of ``2**exponent``."""

    cost: float
    """Elementary steps of a whole pass."""
    error: float
    """By how much a reduced cost may be off."""

    def price(self, duals: Values, share: float, known: Values) -> Priced | None:
        """The best groups under these prices, looking at about that share of all; None when stopped meanwhile.

        ``known`` is the largest reduced cost known of a group that holds each column, -inf without one.
        """
        ...

    def above(self, duals: Values, threshold: float, most: int) -> Groups | None:
        """All groups of reduced cost >= threshold, and perhaps some slightly below; None when stopped or too many."""
        ...


def priceable(problem: Problem) -> bool:
    """Whether there is a pricer for the problem: known at once, where making it takes time."""
    return _listable(problem) or (is_quads(problem) and problem.columns + problem.padding <= _SWEPT_COLUMNS)


def make_pricer(problem: Problem, run: Run, pool: Threads, exponent: int) -> Pricer | None:
    """The pricer that fits a problem that is :func:`priceable`; None when time ran out."""
    _compiled()
    if _listable(problem):
        return ListPricer.of(problem, run, pool, exponent)
    return QuadPricer(problem, run, pool, exponent)


def is_quads(problem: Problem) -> bool:
    """Whether the groups of the problem can be swept without a list of them."""
    return (problem.pattern.n, problem.pattern.m) == (2, 4)


def _listable(problem: Problem) -> bool:
    """Whether all groups fit into a list, and valuing them takes little."""
    count = math.comb(problem.columns + problem.padding, problem.pattern.m)
    most = _LISTED_QUADS if is_quads(problem) else _LISTED
    return count <= most and count * problem.rows * problem.pattern.m <= _LISTED_WORK


@lru_cache(maxsize=1)
def _compiled() -> None:
    """Compile, or load, the kernel of large problems, which the tiny one that warms a solver up never runs."""
    x = np.zeros((4, 1), np.float32)
    x.flags.writeable = False  # as the working saliency is: another type to the compiler
    rows = np.zeros((4, STEP), np.uint8)
    rows.flags.writeable = False
    price_quads(
        x,
        rows,
        1.0,
        np.zeros(4),
        0,
        np.array([[0, 1]]),
        np.zeros(4),
        np.inf,
        -np.inf,
        np.empty(1),
        np.empty((1, 2), np.int64),
        np.zeros(4),
        np.empty((0, 4), np.int16),
    )


def all_groups(columns: int, m: int, padding: int) -> NDArray[np.int16]:
    """Every group, columns ascending: all columns of it proper, or all padding columns in it."""
    full = np.empty((math.comb(columns, m), m), np.int16)
    combinations(columns, full)
    if not padding:
        return full
    short = np.empty((math.comb(columns, m - padding), m), np.int16)
    short[:, m - padding :] = np.arange(columns, columns + padding)
    proper = np.empty((short.shape[0], m - padding), np.int16)
    combinations(columns, proper)
    short[:, : m - padding] = proper
    return np.concatenate([full, short])


@dataclass(eq=False)
class ListPricer:
    """All groups in a list with their values in float64."""

    groups: NDArray[np.int16]
    values: Values
    columns: int
    cost: float
    error: float

    @classmethod
    def of(cls, problem: Problem, run: Run, pool: Threads, exponent: int) -> "ListPricer | None":
        """List and value the groups; None when the run stopped meanwhile."""
        m = problem.pattern.m
        width = problem.group_count * m
        groups = all_groups(problem.columns, m, problem.padding)
        values = np.empty(groups.shape[0])
        step = max(1, _SLICE // (m * problem.rows * 4))

        def fill(start: int) -> None:
            values[start : start + step] = problem.group_values(groups[start : start + step])

        for begin in range(0, groups.shape[0], step * run.workers):
            if run.should_stop():
                return None
            list(pool.map(fill, range(begin, min(begin + step * run.workers, groups.shape[0]), step)))
        scaled = np.ldexp(values, -exponent)
        # More than sums over the rows lose in float64.
        error = float(scaled.max(initial=0.0)) * problem.rows * _ROUNDING
        return cls(groups, scaled, width, float(groups.size), error)

    def price(self, duals: Values, share: float, known: Values) -> Priced | None:
        """See :class:`Pricer`; always looks at all."""
        best = np.full((self.columns, self.columns), -np.inf)
        place = np.zeros((self.columns, self.columns), np.int64)
        most = np.full(self.columns, -np.inf)
        price_list(self.groups, self.values, duals, best, place, most)
        found = best > -np.inf
        return Priced(self.groups[place[found]].astype(np.int64), best[found], most + self.error, complete=True)

    def above(self, duals: Values, threshold: float, most: int) -> Groups | None:
        """See :class:`Pricer`."""
        out = np.empty(most, np.int64)
        count = list_above(self.groups, self.values, duals, threshold, out)
        return None if count > most else self.groups[out[:count]].astype(np.int64)


@dataclass(eq=False)
class QuadPricer:
    """Groups of four, two kept: valued again in every pass by all workers, most of them in bytes alone.

    What bytes lose of each column is added to what they say, so no group is ruled out that should not be; the others
    are valued in float32 and added up in float64. Rounding float64 saliencies to float32 is the error that is left, a
    share ``2**-24`` of at most the four heaviest columns.
    """

    problem: Problem
    run: Run
    pool: Threads
    exponent: int

    def __post_init__(self) -> None:
        x = self.problem.working
        # What one unit of the working saliency is worth in units of 2**exponent: exact, a power of two.
        largest = float(self.problem.padded.max())
        shift = int(np.frexp(largest)[1]) - int(np.frexp(float(x.max()))[1])
        self._unit = float(np.ldexp(1.0, shift - self.exponent))
        heaviest = np.sort(x.sum(axis=1, dtype=np.float64))[-4:].sum()
        # All sums are in float64, whose own rounding counts, too.
        rounded = self.problem.padded.dtype != np.float32
        share = 2.0 * _UNIT * rounded + x.shape[1] * 4.0 * _UNIT**2
        self.error = float(heaviest) * share * self._unit
        columns = x.shape[0]
        self._coarse, self._level = coarse(x, self.problem.columns, self.problem.pattern)
        self._lost = np.empty(columns)
        for j in range(columns):
            left = x[j] - self._level * self._coarse[j, : x.shape[1]].astype(np.float64)
            self._lost[j] = np.maximum(left, 0.0).sum() * (1.0 + _UNIT) + _UNIT * self._level
        pairs = np.column_stack(np.triu_indices(columns - 2, 1))  # two larger columns complete a group
        self._pairs = np.random.default_rng(0).permutation(pairs)  # slices of about equal work
        self.cost = math.comb(columns, 4) * float(x.shape[1])
        self._step = max(1, int(_SLICE * pairs.shape[0] / self.cost))
        self._next = 0

    def price(self, duals: Values, share: float, known: Values) -> Priced | None:
        """See :class:`Pricer`; shares of the pairs come up in turn."""
        count = self._pairs.shape[0]
        wanted = count if share >= 1.0 else max(1, int(share * count))
        start = 0 if share >= 1.0 else self._next
        pairs = self._pairs[np.arange(start, start + wanted) % count]
        self._next = (start + wanted) % count
        most = known / self._unit
        swept = self._sweep(pairs, duals, np.inf, 0, most)
        if swept is None:
            return None
        best, mates, _ = swept
        found = mates[:, 0] >= 0
        groups = np.column_stack([pairs[found], mates[found]])
        return Priced(groups, best[found], most * self._unit + self.error, complete=share >= 1.0)

    def above(self, duals: Values, threshold: float, most: int) -> Groups | None:
        """See :class:`Pricer`."""
        none = np.full(duals.shape[0], np.inf)
        swept = self._sweep(self._pairs, duals, threshold - self.error, most, none)
        return None if swept is None else swept[2]

    def _sweep(
        self, pairs: Groups, duals: Values, threshold: float, most: int, known: Values
    ) -> tuple[Values, Groups, Groups] | None:
        """Best completion of each pair, and all groups from the threshold on; None when stopped or too many.

        ``known``, in units of the working saliency, is raised to what was found of each column.
        """
        best = np.empty(pairs.shape[0])
        mates = np.empty((pairs.shape[0], 2), np.int64)
        prices = duals / self._unit
        room = min(most, _ROOM)
        worthless = float(known.min())  # a column knows a better group already

        def sweep(start: int) -> tuple[NDArray[np.int16] | None, Values]:
            stop = start + self._step
            out = np.empty((room, 4), np.int16)
            reached = known.copy()
            listed = price_quads(
                self.problem.working,
                self._coarse,
                self._level,
                self._lost,
                self.problem.padding,
                pairs[start:stop],
                prices,
                threshold / self._unit,
                worthless,
                best[start:stop],
                mates[start:stop],
                reached,
                out,
            )
            return (None if listed > room else out[:listed].copy()), reached

        found: list[NDArray[np.int16]] = []
        total = 0
        for begin in range(0, pairs.shape[0], self._step * self.run.workers):
            if self.run.should_stop():
                return None
            end = min(begin + self._step * self.run.workers, pairs.shape[0])
            for part, reached in list(self.pool.map(sweep, range(begin, end, self._step))):
                np.maximum(known, reached, out=known)
                if part is None:
                    return None
                found.append(part)
                total += part.shape[0]
            if most and total > most:
                return None
        listed = np.concatenate(found).astype(np.int64) if found else np.empty((0, 4), np.int64)
        return best * self._unit, mates, listed
