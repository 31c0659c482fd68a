"""Permutations of a model's axis groups as they are found: put into the weights, and counted."""

from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from torch import nn

from permsolve.masks import kept_value, nm_mask
from permsolve.networks.applying import permute_tensors
from permsolve.networks.interleaving import Interleaved
from permsolve.networks.prunable import PrunableWeight
from permsolve.networks.report import GroupReport
from permsolve.networks.spec import AxisGroup, Positions, Spec
from permsolve.networks.stacking import Consumer, consumers_of
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from permsolve.result import Result
from permsolve.saliency import SaliencyFunction
from permsolve.weights import as_weight

# A permutation that keeps less than this share of what was kept before, by rounding alone, is no loss.
ROUNDING = 1e-6

Worth = dict[tuple[str, tuple[int, int] | None], NDArray[np.float64]]


class Ordering:
    """Orders a model group by group, and never to its loss.

    Parameters
    ----------
    model : Module
        Changed in place.
    spec : Spec
        Its axis groups.
    names : container of str
        Groups that may be ordered.
    chosen : sequence of PrunableWeight
        The weights that weigh in.
    pattern : Pattern
        The pattern.
    saliency : str or callable
        What each weight is worth.

    Attributes
    ----------
    groups : dict of str to AxisGroup
        Those that may be ordered, by name.
    permutations : dict of str to ndarray
        Group -> its permutation, since this began.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: Spec,
        names: Container[str],
        chosen: Sequence[PrunableWeight],
        pattern: Pattern,
        saliency: str | SaliencyFunction,
    ) -> None:
        self._model, self._spec, self._chosen = model, spec, chosen
        self._pattern, self._saliency = pattern, saliency
        self.groups = {group.name: group for group in spec.groups if group.name in names}
        self._before = dict(self._kept())
        self.permutations: dict[str, Positions] = {}

    def put(self, name: str, permutation: Positions, *, tolerance: float = ROUNDING) -> bool:
        """Permute a group, after what it was permuted by before, unless the weights as they stand lose by it.

        Where ``tolerance`` is 0, they must gain.
        """
        before = self._kept_by_readers(name)
        permute_tensors(self._model, self._spec, {name: permutation})
        after = self._kept_by_readers(name)
        if after < before * (1.0 - tolerance) or (tolerance == 0.0 and after == before):
            permute_tensors(self._model, self._spec, {name: np.argsort(permutation)})
            return False
        known = self.permutations.get(name)
        self.permutations[name] = permutation if known is None else known[permutation]
        return True

    def improve(self, groups: Sequence[Interleaved], seconds: float, seed: int) -> None:
        """Order groups where they stand, in turn, until none gains, or time is up."""
        rng = np.random.default_rng(seed)
        deadline = perf_counter() + seconds
        waiting = deque(groups)
        for one in groups:
            self.permutations.setdefault(one.group.name, np.arange(one.group.size))
        while waiting and perf_counter() < deadline:
            one = waiting.popleft()
            permutation = one.improved(self._pattern, self._saliency, rng, deadline)
            if (np.diff(permutation) != 1).any() and self.put(one.group.name, permutation, tolerance=0.0):
                waiting.extend(
                    other for other in groups if other is not one and other not in waiting and other.meets(one)
                )

    def reports(self, results: Mapping[str, Result]) -> tuple[GroupReport, ...]:
        """The groups that were permuted, in the order of the spec, with what a solver returned for some of them."""
        after = dict(self._kept())
        return tuple(
            GroupReport(
                name, group.size, group.parameters, self.permutations[name], self._before[name], after[name],
                results.get(name),
            )
            for name, group in self.groups.items()
            if name in self.permutations
        )  # fmt: skip

    def _readers(self, group: AxisGroup) -> tuple[Consumer, ...]:
        return consumers_of(group, self._chosen, self._spec.aliases)

    def _kept_by_readers(self, name: str) -> float:
        """What all weights that read a group keep, as they stand in memory."""
        return sum(kept_value(one.tensor, self._pattern, self._saliency) for one in self._readers(self.groups[name]))

    def _kept(self) -> Iterator[tuple[str, float]]:
        """What is kept in the columns of each group."""
        known: Worth = {}
        for name, group in self.groups.items():
            total = 0.0
            for one in self._readers(group):
                key = one.weight.name, one.use.rows
                if key not in known:
                    known[key] = self._worth(one)
                total += float(known[key][one.use.positions].sum())
            yield name, total

    def _worth(self, consumer: Consumer) -> NDArray[np.float64]:
        """What N:M keeps of each column as the weight stands."""
        array = as_weight(consumer.tensor)
        problem = Problem.from_weight(array, self._pattern, self._saliency)
        mask = nm_mask(array, np.arange(array.shape[1]), self._pattern, self._saliency)
        kept = np.where(np.moveaxis(mask, 1, -1).reshape(problem.saliency.shape), problem.saliency, 0.0)
        worth: NDArray[np.float64] = kept.sum(axis=0, dtype=np.float64)
        return worth
