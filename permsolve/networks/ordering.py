"""Permutations of a model's axis groups as they are found: put into the weights, and counted."""

from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from torch import nn

from permsolve.masks import nm_mask
from permsolve.networks.applying import permute_tensors
from permsolve.networks.interleaving import Interleaved
from permsolve.networks.prunable import PrunableWeight
from permsolve.networks.report import GroupReport
from permsolve.networks.spec import AxisGroup, Positions, Spec
from permsolve.networks.stacking import Consumer, consumers_of
from permsolve.networks.transaction import transaction
from permsolve.networks.worth import Worth
from permsolve.pattern import Pattern
from permsolve.result import Result
from permsolve.weights import as_weight

# A permutation that keeps less than this share of what was kept before, by rounding alone, is no loss.
ROUNDING = 1e-6


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
    worth : Worth
        What each weight is worth.

    Attributes
    ----------
    worth : Worth
        That of the weights as they stand.
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
        worth: Worth,
    ) -> None:
        self._model, self._spec, self._chosen = model, spec, chosen
        self._pattern, self.worth = pattern, worth
        self.groups = {group.name: group for group in spec.groups if group.name in names}
        self._before = dict(self._kept())
        self.permutations: dict[str, Positions] = {}

    def put(self, name: str, permutation: Positions, *, tolerance: float = ROUNDING) -> bool:
        """Permute a group, after what it was permuted by before, unless the weights as they stand lose by it.

        Where ``tolerance`` is 0, they must gain.
        """
        before = self._kept_by_readers(name)
        known_worth, known = self.worth, self.permutations.get(name)
        with transaction() as trial:
            permute_tensors(self._model, self._spec, {name: permutation})
            self.worth = self.worth.permuted(self._spec, {name: permutation})
            after = self._kept_by_readers(name)
            if after < before * (1.0 - tolerance) or (tolerance == 0.0 and after == before):
                trial.undo()
                self.worth = known_worth
                return False
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
            permutation = one.improved(self._pattern, self.worth, rng, deadline)
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
        return sum(one.problem(self._pattern, self.worth).baseline for one in self._readers(self.groups[name]))

    def _kept(self) -> Iterator[tuple[str, float]]:
        """What is kept in the columns of each group."""
        known: dict[tuple[str, tuple[int, int] | None], NDArray[np.float64]] = {}
        for name, group in self.groups.items():
            total = 0.0
            for one in self._readers(group):
                key = one.weight.name, one.use.rows
                if key not in known:
                    known[key] = self._of_columns(one)
                total += float(known[key][one.use.positions].sum())
            yield name, total

    def _of_columns(self, consumer: Consumer) -> NDArray[np.float64]:
        """What N:M keeps of each column as the weight stands."""
        array, problem = as_weight(consumer.tensor), consumer.problem(self._pattern, self.worth)
        inputs = self.worth.inputs(consumer.weight, consumer.use.rows)
        mask = nm_mask(array, np.arange(array.shape[1]), self._pattern, self.worth.saliency, inputs)
        kept = np.where(np.moveaxis(mask, 1, -1).reshape(problem.saliency.shape), problem.saliency, 0.0)
        columns: NDArray[np.float64] = kept.sum(axis=0, dtype=np.float64)
        return columns
