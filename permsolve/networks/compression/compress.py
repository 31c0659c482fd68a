"""Permute, prune and fit a network."""

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from os import PathLike

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from permsolve.api import checked_seed, checked_time_limit, checked_workers
from permsolve.errors import InvalidOptionError, VerificationError
from permsolve.networks.calibration import Calibration, calibrate
from permsolve.networks.calibration.padding import AUTO, Mask
from permsolve.networks.compression.recipe import Recipe, get_recipe
from permsolve.networks.compression.report import CompressionReport
from permsolve.networks.permute import permute_
from permsolve.networks.prunable import NameFilter, prunable_weights
from permsolve.networks.pruning import finalize_, is_nm, prune_
from permsolve.networks.pruning.prune import check_sources
from permsolve.networks.surroundings import undisturbed
from permsolve.networks.trace.calls import ExampleInputs
from permsolve.networks.trace.export import called, check_module
from permsolve.networks.transaction import all_or_nothing
from permsolve.networks.writing import check_present
from permsolve.pattern import Pattern
from permsolve.stopping import StoppingCriterion


@undisturbed
@all_or_nothing
def compress_(
    model: nn.Module,
    example_inputs: ExampleInputs,
    *,
    calibration: Calibration | Iterable[object],
    pattern: str | Pattern = "2:4",
    recipe: str | Recipe = "auto",
    solver: str = "auto",
    time_limit: float | None = 60.0,
    stop: StoppingCriterion | Sequence[StoppingCriterion] | None = None,
    seed: int = 0,
    workers: int | None = None,
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
    mask: Mask = AUTO,
    memory_limit: int | None = None,
    spool: str | PathLike[str] | None = None,
    executor: Executor | None = None,
) -> CompressionReport:
    """Prune a network to N:M, in place, so that it behaves as before as far as can be: permute, mask, fit, verify.

    Parameters
    ----------
    model : Module
        The model.
    example_inputs : tuple, dict, Tensor, Call, or list of these
        Arguments of a call, positional or by name; a list holds several calls (see :func:`permute_`).
    calibration : Calibration or iterable
        What the layers read (:func:`permsolve.networks.calibrate`), or batches to find it out with, better in a list
        than as a generator: they are read for each layer anew where the recipe prunes layers in order.
    pattern : Pattern or str, default "2:4"
        The pattern.
    recipe : str or Recipe, default "auto"
        ``"auto"``: permuted and masked by ``obs``, then layer by layer masks are improved and what is kept is fitted to
        the outputs of the dense network (``update="exchange"`` and ``batches`` of :func:`permsolve.networks.prune_`);
        ``"exchange"``: all layers for what they read in the dense network, which takes less time and no copy of the
        model; ``"fit"``: with the masks of ``obs`` as they are; ``"no-update"``: masked by ``obd``, and
        ``"magnitude"``: by magnitude, with the weights as they were; or a recipe of your own.
    solver, time_limit, stop, seed, workers, executor
        Of the permutation: see :func:`permsolve.networks.permute_`.
    include, exclude : str, iterable of str, or callable, optional
        Which layers: see :func:`permsolve.networks.prune_`.
    mask, memory_limit, spool : optional
        Of :func:`permsolve.networks.calibrate`, where batches are given.

    Returns
    -------
    CompressionReport
        What became of the layers, and by how much the outputs changed. Zeros are final: the model has no masks.

    Raises
    ------
    VerificationError
        When a permutation changed outputs, or a weight does not follow the pattern in the end.
    InvalidNetworkError, InvalidOptionError, InvalidPatternError, InvalidProblemError, UntraceableError
        When something cannot be done. The model is as it was after all errors, and after Ctrl-C: until the end what
        the weights were is kept, too.
    """
    check_module(model)
    check_present(model)
    check_sources(prunable_weights(model, include, exclude))
    parsed, chosen = Pattern.parse(pattern), get_recipe(recipe)
    checked_time_limit(time_limit)
    checked_workers(workers)
    seed = checked_seed(seed)
    batches = None
    if isinstance(calibration, Calibration):
        if memory_limit is not None or spool is not None:
            raise InvalidOptionError(
                "memory_limit and spool are for batches, and a calibration is given: leave them out"
            )
    else:
        if chosen.in_order and isinstance(calibration, Iterable) and iter(calibration) is not calibration:
            batches = calibration
        calibration = calibrate(
            model,
            calibration,
            include=include,
            exclude=exclude,
            mask=mask,
            memory_limit=memory_limit,
            spool=spool,
        )
    before = _outputs(model, example_inputs)
    permutation = None
    if chosen.permute:
        permutation = permute_(
            model, example_inputs, parsed, solver=solver, time_limit=time_limit, stop=stop, seed=seed,
            workers=workers, saliency=chosen.saliency, include=include, exclude=exclude, calibration=calibration,
            executor=executor,
        )  # fmt: skip
        calibration = calibration.permuted(permutation)
    masks = prune_(
        model, parsed, saliency=chosen.saliency, include=include, exclude=exclude, update=chosen.update,
        calibration=calibration if batches is None else None, batches=batches, mask=mask,
    )  # fmt: skip
    finalize_(model)
    for weight in prunable_weights(model, include, exclude):
        if weight.name in masks and not is_nm(weight.tensor, parsed):
            raise VerificationError(f"{weight.name} does not follow {parsed} after pruning")
    return CompressionReport(
        pattern=parsed,
        recipe=chosen,
        permutation=permutation,
        layers=masks.errors,
        notes={**calibration.notes, **masks.notes},
        skipped=masks.skipped,
        share=masks.share,
        output_error=_change(before, _outputs(model, example_inputs)),
    )


def _outputs(model: nn.Module, example_inputs: ExampleInputs) -> list[Tensor]:
    output = called(model, example_inputs)
    found = [leaf.double() for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    if not found:
        raise InvalidOptionError("the model returns no tensor of floating point that could be compared")
    return found


def _change(before: list[Tensor], after: list[Tensor]) -> float | None:
    """Mean square of the change of what is finite before and after, as a share; None where nothing can be compared.

    Infinity where something that was finite is not any more, or the other way round, or where outputs were all zero.
    """
    whole = change = 0.0
    count = 0
    for one, other in zip(before, after, strict=True):
        if one.shape != other.shape:
            return None
        finite = one.isfinite()
        if not torch.equal(finite, other.isfinite()):
            return math.inf
        one, other = one[finite], other[finite]
        count += one.numel()
        whole += float(one.square().sum())
        change += float((one - other).square().sum())
    if not count:
        return None
    if change == 0.0:
        return 0.0
    return change / whole if whole > 0.0 else math.inf
