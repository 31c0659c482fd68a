"""Permute, prune and fit a network."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from os import PathLike

from torch import nn

from permsolve.api import checked_seed, checked_time_limit, checked_workers
from permsolve.errors import InvalidOptionError, VerificationError
from permsolve.networks.calibration import Calibration, calibrate
from permsolve.networks.calibration.padding import AUTO, Mask
from permsolve.networks.compression.outputs import real_outputs, relative_change
from permsolve.networks.compression.recipe import Recipe, get_recipe
from permsolve.networks.compression.report import CompressionReport
from permsolve.networks.permute import permute_
from permsolve.networks.prunable import NameFilter, prunable_weights
from permsolve.networks.pruning import finalize_, is_nm, prune_
from permsolve.networks.pruning.prune import check_sources
from permsolve.networks.surroundings import undisturbed
from permsolve.networks.trace.calls import ExampleInputs
from permsolve.networks.trace.export import check_module
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
    before = real_outputs(model, example_inputs)
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
    change, left_out = relative_change(before, real_outputs(model, example_inputs))
    return CompressionReport(
        pattern=parsed,
        recipe=chosen,
        permutation=permutation,
        layers=masks.errors,
        notes={**calibration.notes, **masks.notes, **({} if left_out is None else {"outputs": left_out})},
        skipped=masks.skipped,
        share=masks.share,
        output_error=change,
    )
