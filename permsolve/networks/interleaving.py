"""Axis groups whose channels stand among other columns, ordered where they stand.

After a channel shuffle, or a concatenation of odd widths, M neighbouring columns hold channels of several axis groups,
each of which moves among its own places only. What such a group keeps is no matter of its own columns alone, so that no
:class:`~permsolve.problem.Problem` says it. Here one group is ordered while all other columns stay. A move takes
channels out of places that share no group of M, in any weight, and puts them back in the best way: a linear assignment
problem on rows of the exchange matrix (:mod:`permsolve.kernels.exchange`), added up over the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from permsolve.kernels.exchange import exchange
from permsolve.kernels.scoring import group_values
from permsolve.networks.spec import INPUT_AXIS, AxisGroup, Positions
from permsolve.networks.stacking import Consumer, Stack
from permsolve.networks.worth import Worth
from permsolve.pattern import Pattern
from permsolve.permutation import to_groups
from permsolve.weights import matrix_shape

# So many moves in a row without a gain end a search, and a move takes so many channels at most: the time of an
# assignment grows with their cube.
PATIENCE = 8
MOST = 512


@dataclass(frozen=True)
class Interleaved:
    """A group whose channels share groups of M with other columns, or are grouped otherwise in each weight.

    Attributes
    ----------
    group : AxisGroup
        The group.
    consumers : tuple of Consumer
        The weights that weigh in.
    """

    group: AxisGroup
    consumers: tuple[Consumer, ...]

    @property
    def work(self) -> float:
        """What a search costs, in the unit of :attr:`Stack.work`."""
        rows = sum(matrix_shape(tuple(one.tensor.shape))[0] * one.use.positions.shape[1] for one in self.consumers)
        return float(rows) * self.group.size**2

    def meets(self, other: "Interleaved") -> bool:
        """Whether a weight reads both groups, so that the order of one matters to the other."""
        names = {one.weight.name for one in self.consumers}
        return any(one.weight.name in names for one in other.consumers)

    def improved(self, pattern: Pattern, worth: Worth, rng: np.random.Generator, deadline: float) -> Positions:
        """A permutation of the channels, from how they stand now, that keeps at least as much of the weights.

        Parameters
        ----------
        pattern : Pattern
            The pattern.
        worth : Worth
            What each weight is worth.
        rng : Generator
            Draws the places of each move.
        deadline : float
            When to stop, by ``time.perf_counter``.

        Returns
        -------
        ndarray of int64, shape (size,)
            Channel ``j`` is to become what channel ``permutation[j]`` is.
        """
        weights = [_Standing(one, pattern, worth) for one in self.consumers]
        groups = _groups_of_places(self.consumers, pattern.m)
        held = np.arange(self.group.size)
        failed = 0
        while failed < PATIENCE and perf_counter() < deadline:
            places = _apart(groups, rng)
            before = held[places]
            gains = np.zeros((places.size, places.size))
            for weight in weights:
                weight.add_gains(places, before, gains)
            after = before[linear_sum_assignment(gains, maximize=True)[1]]
            kept = sum(weight.value(places) for weight in weights)
            for weight in weights:
                weight.put(places, after)
            if sum(weight.value(places) for weight in weights) > kept:
                held[places] = after
                failed = 0
            else:
                for weight in weights:
                    weight.put(places, before)
                failed += 1
        return held


def interleaved(
    group: AxisGroup, consumers: Sequence[Consumer], stacked: Stack | None, pattern: Pattern
) -> Interleaved | None:
    """A group as one to be ordered where it stands; None where its stacked problem says all, or no order matters.

    Weights in which neighbouring columns are the same channel (the places of a flattened map) do not weigh in, nor do
    those where all channels are in one group of M.
    """
    weighing = tuple(one for one in consumers if _weighs(one.use.positions // pattern.m))
    if not weighing or (stacked is not None and all(_alone(one, stacked.order, pattern.m) for one in weighing)):
        return None
    return Interleaved(group, weighing)


def _weighs(groups: Positions) -> bool:
    """Whether channels stand in several groups of M, shape (size, copies), and in each of them once."""
    ordered = np.sort(groups, axis=1)
    return bool(groups.min() < groups.max()) and not bool((ordered[:, 1:] == ordered[:, :-1]).any())


def _alone(consumer: Consumer, order: Positions, m: int) -> bool:
    """Whether the groups of M of a weight are those of a stacked problem, with no other columns in them."""
    width = consumer.tensor.shape[INPUT_AXIS]
    size = order.size
    for copy in consumer.use.positions[order].T // m:
        first = copy[::m]
        wanted = np.repeat(first, m)[:size]
        lengths = np.minimum(m, size - np.arange(0, size, m))
        if (
            (copy != wanted).any()
            or np.unique(first).size != first.size
            or (lengths != np.minimum(m, width - first * m)).any()
        ):
            return False
    return True


def _groups_of_places(consumers: Sequence[Consumer], m: int) -> Positions:
    """The groups of M of each place, numbered over all weights, shape (size, copies in all weights)."""
    numbered, start = [], 0
    for one in consumers:
        numbered.append(one.use.positions // m + start)
        start += one.tensor.shape[INPUT_AXIS] // m + 1
    return np.concatenate(numbered, axis=1)


def _apart(groups: Positions, rng: np.random.Generator) -> Positions:
    """Random places, as many as there are, of which no two share a group of M."""
    taken = np.zeros(int(groups.max()) + 1, np.bool_)
    found: list[int] = []
    for place in rng.permutation(groups.shape[0]):
        if not taken[groups[place]].any():
            taken[groups[place]] = True
            found.append(int(place))
            if len(found) == MOST:
                break
    return np.array(found, np.int64)


class _Standing:
    """A weight, with the columns that stand in each of its groups of M at present."""

    def __init__(self, consumer: Consumer, pattern: Pattern, worth: Worth) -> None:
        problem = consumer.problem(pattern, worth)
        largest = float(problem.working.max())
        self._x = problem.working
        self._unit = float(problem.padded.max()) / largest if largest > 0.0 else 1.0
        self._n, self._m = pattern.n, pattern.m
        self._columns = consumer.use.positions
        self._groups = to_groups(np.arange(problem.columns), pattern)

    def add_gains(self, places: Positions, channels: Positions, out: NDArray[np.float64]) -> None:
        """Add to ``out[a, b]`` what the weight gains by channel ``channels[b]`` in place ``places[a]``."""
        gains = np.empty(out.shape, np.float32)
        rows = np.arange(places.size)
        for columns in self._columns.T:
            members = np.stack(np.divmod(columns[places], self._m), axis=1)
            exchange(self._x, self._groups, members, self._n, columns[channels], 0, gains, rows)
            out += self._unit * gains.astype(np.float64)

    def put(self, places: Positions, channels: Positions) -> None:
        """Put channels in places."""
        where = self._columns[places]
        self._groups[where // self._m, where % self._m] = self._columns[channels]

    def value(self, places: Positions) -> float:
        """What the groups of M of some places, which share none, keep."""
        groups = self._groups[(self._columns[places] // self._m).ravel()]
        out = np.empty(len(groups), np.float64)
        group_values(self._x, groups, self._n, out)
        return self._unit * float(out.sum())
