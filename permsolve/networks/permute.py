"""Permute a whole network so that N:M keeps more of it, without changing its function."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from permsolve.api import checked_time_limit
from permsolve.errors import InvalidOptionError
from permsolve.masks import kept_value
from permsolve.networks.applying import permute_tensors
from permsolve.networks.prunable import NameFilter, PrunableWeight, prunable_weights
from permsolve.networks.report import GroupReport, Report
from permsolve.networks.solving import solve_all
from permsolve.networks.spec import AxisGroup, Spec
from permsolve.networks.stacking import INPUT_AXIS, Consumer, Stack, consumers_of, stack
from permsolve.networks.trace import trace
from permsolve.networks.trace.export import ExampleInputs
from permsolve.networks.verify import Reference
from permsolve.pattern import Pattern
from permsolve.registry import get_solver
from permsolve.result import Result
from permsolve.saliency import SaliencyFunction, get_saliency

# A permutation that keeps less than this share of what was kept before, by rounding alone, is no loss.
_ROUNDING = 1e-6


def permute_(
    model: nn.Module,
    example_inputs: ExampleInputs,
    pattern: Pattern | str = "2:4",
    *,
    solver: str = "auto",
    time_limit: float = 60.0,
    seed: int = 0,
    workers: int | None = None,
    saliency: str | SaliencyFunction = "magnitude",
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
    verify: bool = True,
    gather: str = "never",
    free_outputs: Sequence[int | str] = (),
    executor: Executor | None = None,
    spec: Spec | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Permute, in place, every axis of a network that may be permuted, so that N:M keeps as much as possible.

    Parameters
    ----------
    model : Module
        The model. Its parameters and buffers are re-ordered; its function stays.
    example_inputs : tuple or dict
        Arguments of a call, positional or by name.
    pattern : Pattern or str, default "2:4"
        The pattern.
    solver : str, default "auto"
        Name of a registered solver.
    time_limit : float, default 60
        Seconds of search for the whole network, shared by work.
    seed, workers
        See :func:`permsolve.solve`.
    saliency : str or callable, default "magnitude"
        What each weight is worth (see :meth:`permsolve.Problem.from_weight`).
    include, exclude : str, iterable of str, or callable, optional
        Which layers will be pruned, by name (see :func:`permsolve.networks.prune_`): only they weigh in. Others follow.
    verify : bool, default True
        Whether to compare outputs before and after, on copies in float64.
    gather : {"never", "allowed"}, default "never"
        Whether a layer whose input cannot be permuted by its producers may get an explicit gather in front of it.
    free_outputs : sequence of int or str, optional
        Outputs, by position or name, that may come out in another order; the report says in which.
    executor : Executor, optional
        Where to solve axes side by side: any of ``concurrent.futures``, or of a cluster.
    spec : Spec, optional
        The axis groups, from :func:`trace` or written by hand, instead of a trace.
    progress : callable, optional
        Called with the numbers of problems solved and of problems in all.

    Returns
    -------
    Report
        What was permuted and gained.

    Raises
    ------
    UntraceableError
        When the model cannot be exported and no ``spec`` is given.
    VerificationError
        When outputs differ; then every weight is as before, bit for bit.
    InvalidOptionError, InvalidPatternError, InvalidProblemError, UnknownSolverError
        When an argument cannot be used, or a weight holds NaN or infinity.

    Notes
    -----
    Memory: beside the model one stacked problem in float32 (rows times columns of one axis group) at a time, or all of
    them with an executor; with ``verify`` two float64 copies of the model.
    """
    parsed = Pattern.parse(pattern)
    scores = get_saliency(saliency)
    get_solver(solver)
    checked_time_limit(time_limit)
    if gather not in ("never", "allowed"):
        raise InvalidOptionError(f"gather must be 'never' or 'allowed', got {gather!r}")
    if gather == "allowed":
        raise InvalidOptionError("gather='allowed' is not available yet: use gather='never'")
    chosen = prunable_weights(model, include, exclude)
    groups = spec if spec is not None else trace(model, example_inputs, free_outputs=free_outputs)
    reference = Reference(model, example_inputs, seed) if verify else None

    owners = groups.aliases
    consumers = {group.name: consumers_of(group, chosen, owners) for group in groups.groups}
    stacks = [one for group in groups.groups if (one := stack(group, consumers[group.name], parsed)) is not None]
    results = solve_all(
        stacks, parsed, scores, solver=solver, time_limit=time_limit, seed=seed, workers=workers, executor=executor,
        progress=progress,
    )  # fmt: skip
    before = {weight.name: kept_value(weight.tensor, parsed, saliency) for weight in chosen}
    kept = [
        report
        for one, result in zip(stacks, results, strict=True)
        if (report := _accepted(model, groups, one, result, consumers[one.group.name], parsed, saliency)) is not None
    ]
    permutations = {report.name: report.permutation for report in kept}
    orders = _output_orders(groups, permutations)
    error = None
    if reference is not None:
        inverse = {name: np.argsort(permutation) for name, permutation in permutations.items()}
        permute_tensors(model, groups, inverse)  # the model is as it was while copies of it are compared
        numbered = {int(name.removeprefix("output:")): axes for name, axes in orders.items()}
        error = reference.error(
            lambda copy: permute_tensors(copy, groups, permutations),
            lambda copy: permute_tensors(copy, groups, inverse),
            numbered,
        )
        permute_tensors(model, groups, permutations)
    everything = prunable_weights(model)
    return Report(
        pattern=parsed,
        spec=groups,
        groups=tuple(kept),
        permuted_inputs=tuple(weight.name for weight in everything if _columns(weight, groups, permutations).any()),
        coverage=_coverage(everything, groups, permutations),
        skipped=_skipped(everything, chosen, groups, permutations, parsed),
        value_before=sum(before.values()),
        value_after=sum(kept_value(weight.tensor, parsed, saliency) for weight in chosen),
        max_relative_error=error,
        outputs=orders,
        notes={**groups.notes, **(reference.notes if reference is not None else {})},
    )


def _accepted(
    model: nn.Module,
    spec: Spec,
    one: Stack,
    result: Result,
    consumers: Sequence[Consumer],
    pattern: Pattern,
    saliency: str | SaliencyFunction,
) -> GroupReport | None:
    """Permute the model by a result, unless the weights as they stand in memory would lose by it."""
    permutation = one.permutation(result.permutation)

    def kept() -> float:
        return sum(kept_value(consumer.weight.tensor, pattern, saliency) for consumer in consumers)

    before = kept()
    permute_tensors(model, spec, {one.group.name: permutation})
    after = kept()
    if after < before * (1.0 - _ROUNDING):
        permute_tensors(model, spec, {one.group.name: np.argsort(permutation)})
        return None
    group = one.group
    return GroupReport(group.name, group.size, group.parameters, permutation, before, after, result)


def _columns(weight: PrunableWeight, spec: Spec, names: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which columns of a weight belong to one of the named groups."""
    columns = np.zeros(weight.tensor.shape[INPUT_AXIS], np.bool_)
    owner = spec.aliases.get(weight.parameter, weight.parameter) if weight.parameter is not None else weight.name
    for group in spec.groups:
        if group.name in names:
            for use in group.uses:
                if use.name == owner and use.axis == INPUT_AXIS:
                    columns[use.positions] = True
    return columns


def _coverage(weights: Sequence[PrunableWeight], spec: Spec, names: Mapping[str, Any]) -> float:
    total = sum(weight.tensor.numel() for weight in weights)
    covered = sum(weight.tensor.numel() * float(_columns(weight, spec, names).mean()) for weight in weights)
    return covered / total if total else 0.0


def _skipped(
    weights: Sequence[PrunableWeight],
    chosen: Sequence[PrunableWeight],
    spec: Spec,
    names: Mapping[str, Any],
    pattern: Pattern,
) -> dict[str, str]:
    """Why columns of a weight were not permuted."""
    everything: dict[str, AxisGroup] = {group.name: group for group in spec.groups}
    meant = {weight.name for weight in chosen}
    reasons = {}
    for weight in weights:
        permuted = _columns(weight, spec, names)
        if permuted.all():
            continue
        part = "" if not permuted.any() else f"{int((~permuted).sum())} of {permuted.size} columns: "
        movable = _columns(weight, spec, everything) & ~permuted
        if weight.parameter is None:
            reason = "the weight is computed from several tensors"
        elif weight.tensor.shape[INPUT_AXIS] <= pattern.m:
            reason = f"one group of {pattern.m} columns or less: their order does not matter"
        elif movable.any() and weight.name not in meant:
            reason = "left out by include= or exclude=, and no other layer wanted this order"
        elif movable.any():
            reason = "its columns move in blocks, or in sets too small, for their order to matter"
        else:
            reason = spec.notes.get(
                f"held:{weight.parameter}",
                "its inputs are tied to the model's inputs, to its outputs, or to an operator that fixes them",
            )
        reasons[weight.name] = part + reason
    return reasons


def _output_orders(spec: Spec, permutations: Mapping[str, NDArray[np.int64]]) -> dict[str, dict[int, list[int]]]:
    orders: dict[str, dict[int, list[int]]] = {}
    for group in spec.groups:
        for use in group.uses:
            if use.name.startswith("output:") and group.name in permutations:
                length = spec.shapes[use.name][use.axis]
                index = use.order(permutations[group.name], length)
                axes = orders.setdefault(use.name, {})
                axes[use.axis] = np.asarray(axes.get(use.axis, np.arange(length)))[index].tolist()
    return orders
