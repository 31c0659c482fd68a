"""The N:M problem of an axis group: the columns of all prunable weights that it orders, stacked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from permsolve.networks.prunable import PrunableWeight
from permsolve.networks.spec import INPUT_AXIS, AxisGroup, AxisUse, Positions
from permsolve.networks.worth import Worth
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from permsolve.weights import matrix_shape


@dataclass(frozen=True)
class Consumer:
    """A prunable weight whose input axis carries a group.

    Attributes
    ----------
    weight : PrunableWeight
        The weight.
    use : AxisUse
        The use of its input axis, as it is where the weight is seen as (out, in, kernel...).
    """

    weight: PrunableWeight
    use: AxisUse

    @property
    def tensor(self) -> Tensor:
        """The rows of the weight that are meant."""
        tensor = self.weight.tensor
        return tensor if self.use.rows is None else tensor[self.use.rows[0] : self.use.rows[1]]

    def problem(self, pattern: Pattern, worth: Worth) -> Problem:
        """The problem of these rows alone."""
        return Problem.from_weight(self.tensor, pattern, worth.saliency, worth.inputs(self.weight, self.use.rows))


@dataclass(frozen=True)
class Stack:
    """A group with the copies of its channels that form groups of M in memory.

    Attributes
    ----------
    group : AxisGroup
        The group.
    order : ndarray of int64, shape (size,)
        Column ``i`` of the problem is channel ``order[i]``: channels that fill whole groups of M come first.
    parts : tuple of (Consumer, ndarray)
        Each weight with the positions (size, copies) of its columns that take part.
    """

    group: AxisGroup
    order: Positions
    parts: tuple[tuple[Consumer, Positions], ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the problem."""
        rows = sum(
            matrix_shape(tuple(consumer.tensor.shape))[0] * positions.shape[1] for consumer, positions in self.parts
        )
        return rows, self.group.size

    @property
    def work(self) -> float:
        """What a search costs, in proportion: rows times columns squared."""
        rows, columns = self.shape
        return float(rows) * columns**2

    def problem(self, pattern: Pattern, worth: Worth) -> Problem:
        """The stacked problem, filled block by block: never more than one block beside it in memory."""
        return Problem.from_blocks(self._blocks(worth), self.shape, pattern)

    def _blocks(self, worth: Worth) -> Iterator[NDArray[np.floating]]:
        for consumer, positions in self.parts:
            for block in worth.blocks(consumer.weight, consumer.tensor, consumer.use.rows):
                for copy in positions.T:
                    yield block[:, copy]

    def permutation(self, solved: NDArray[np.int64]) -> Positions:
        """Permutation of the channels that a permutation of the problem's columns stands for."""
        result = np.empty_like(self.order)
        result[self.order] = self.order[solved]
        return result


def consumers_of(
    group: AxisGroup, weights: Sequence[PrunableWeight], owners: Mapping[str, str]
) -> tuple[Consumer, ...]:
    """The weights whose input axis a group orders."""
    uses: dict[str, list[AxisUse]] = {}
    for use in group.uses:
        uses.setdefault(use.name, []).append(use)
    return tuple(
        Consumer(weight, seen)
        for weight in weights
        if weight.parameter is not None
        for use in uses.get(owners.get(weight.parameter, weight.parameter), ())
        for seen in use.in_matrix(weight.layout, tuple(weight.stored.shape))
        if seen.axis == INPUT_AXIS
    )


def stack(group: AxisGroup, consumers: Sequence[Consumer], pattern: Pattern) -> Stack | None:
    """The problem of a group, or None where no permutation can change what N:M keeps.

    A copy of the channels takes part when at least half of its groups of M in memory are made of the same channels
    as those of the largest weight; others (channels that lie apart by the places of a flattened map) only follow.
    """
    best: Stack | None = None
    for lead in consumers:
        order, full = _memory_order(lead.use.positions, pattern.m)
        if full < 2:  # one group of M: its order does not matter
            continue
        candidate = Stack(group, order, tuple(_aligned(consumers, order[: full * pattern.m], order, pattern.m)))
        if candidate.parts and (best is None or candidate.shape[0] > best.shape[0]):
            best = candidate
    return best


def _memory_order(positions: Positions, m: int) -> tuple[Positions, int]:
    """Channels by their first copy in memory, those in whole groups of M first; and how many such groups there are."""
    best: tuple[Positions, int] | None = None
    for copy in positions.T[:1]:
        order = np.argsort(copy)
        group = copy[order] // m
        whole = np.isin(group, np.flatnonzero(np.bincount(group) == m))
        best = np.concatenate([order[whole], order[~whole]]), int(whole.sum()) // m
    assert best is not None
    return best


def _aligned(
    consumers: Sequence[Consumer], full: Positions, order: Positions, m: int
) -> Iterator[tuple[Consumer, Positions]]:
    for consumer in consumers:
        places = consumer.use.positions[full].T.reshape(consumer.use.positions.shape[1], -1, m) // m
        together = (places == places[:, :, :1]).all(axis=2).mean(axis=1) >= 0.5
        if together.any():
            yield consumer, consumer.use.positions[order][:, together]
