"""Turning pruned layers into 2:4 tensors where that is possible and faster."""

import math
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from permsolve.checks import is_number, is_whole
from permsolve.errors import InvalidNetworkError, InvalidOptionError, VerificationError
from permsolve.masks import nm_violations
from permsolve.networks.differences import difference
from permsolve.networks.prunable import NameFilter, PrunableWeight, prunable_weights
from permsolve.networks.pruning.holders import holders
from permsolve.networks.pruning.mask import mask_of
from permsolve.networks.sparse.forms import has_sparse_form, is_sparse, layer_obstacle, make_sparse_, matrix
from permsolve.networks.sparse.hardware import Cuda, Hardware
from permsolve.networks.sparse.input_shapes import eager_outputs, input_shapes
from permsolve.networks.sparse.layouts import BACKENDS, LINEAR_DTYPES, Layout, layouts
from permsolve.networks.sparse.report import LayerReport, SparseReport
from permsolve.networks.sparse.trial import Refusal, Timings, Trial, dense_milliseconds, tolerance, try_layer
from permsolve.networks.surroundings import undisturbed
from permsolve.networks.trace.calls import ExampleInputs
from permsolve.networks.trace.export import check_module
from permsolve.networks.transaction import all_or_nothing, transaction
from permsolve.pattern import Pattern
from permsolve.weights import as_weight

PATTERN = Pattern(2, 4)
# Rows that a layer is timed with when no example says how many it gets.
ROWS = 2048


@dataclass(frozen=True, slots=True)
class _Options:
    """How :func:`sparsify_` decides."""

    backend: str
    min_speedup: float
    benchmark: bool
    padding: bool
    timings: Timings


@undisturbed
@all_or_nothing
def sparsify_(
    model: nn.Module,
    example_inputs: ExampleInputs | Tensor | None = None,
    *,
    backend: str = "auto",
    min_speedup: float = 1.0,
    benchmark: bool = True,
    padding: bool = True,
    rows: int = ROWS,
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
    hardware: Hardware | None = None,
) -> SparseReport:
    """Run the 2:4 layers of a pruned model on the GPU's sparse units, in place, where that is possible and faster.

    The weights of Linear layers, and of convolutions of single points, which are linear layers over the channels,
    become torch's semi-structured tensors (:func:`torch.sparse.to_sparse_semi_structured`) where device, dtype and
    shape allow it, the outputs differ by no more than rounding, and a measurement says that it is faster; all
    else stays dense, and the report says why. Such a weight serves inference only: no gradient goes through its layer.
    Layers stay the objects that they were, with their hooks, and what ``torch.compile`` has compiled is compiled anew.
    All layers are changed or, whatever goes wrong, none: until the end the dense weights are kept, too.

    Parameters
    ----------
    model : Module
        A pruned model without masks: :func:`permsolve.networks.prune_`, then :func:`permsolve.networks.finalize_`.
    example_inputs : tuple, dict, Tensor, Call, or list of these, optional
        Arguments of a call of the model, or of several (see :func:`permute_`), of the size that it will be used with:
        each layer is timed with the input shape that it gets there (a layer that no call reaches stays dense), and the
        outputs of the model are compared before and after. Without it layers are timed with ``rows`` rows of input.
    backend : {"auto", "cusparselt", "cutlass"}, default "auto"
        Which of torch's backends to use; "auto" takes the fastest for each layer. Of cuSPARSELt's algorithms the
        fastest is taken in any case.
    min_speedup : float, default 1.0
        A layer becomes sparse when it is more than so many times as fast.
    benchmark : bool, default True
        Time the layers, as the GPU or the host that launches them takes, whichever is longer; one measurement serves
        for all layers of the same kind and shape that read the same shape of input. Without it each eligible layer
        becomes sparse, by the first backend that takes it and its default algorithm.
    padding : bool, default True
        Try to fill up weights with zeros whose shape does not fit; measured like all others, and never done
        without a measurement.
    rows : int, default 2048
        See ``example_inputs``.
    include, exclude : str, iterable of str, or callable, optional
        Which layers: see :func:`permsolve.networks.prunable.prunable_weights`.
    hardware : Hardware, optional
        What packs and times; the GPU that torch sees when not given.

    Returns
    -------
    SparseReport
        For each weight: shape, dtype, whether it is eligible or why not, both times, and the error.

    Raises
    ------
    InvalidNetworkError
        When a weight is under a mask, or not 2:4 (torch would drop nonzeros without a word), or the model cannot be
        called with the example. The model is then as it was.
    VerificationError
        When the outputs differ by more than rounding explains, or the sparse model cannot be called. The model is then
        as it was.
    InvalidOptionError
        When an argument cannot be used.
    """
    check_module(model)
    options = _options(backend, min_speedup, benchmark, padding, hardware)
    if not is_whole(rows) or rows < 1:
        raise InvalidOptionError(f"rows must be a whole number >= 1, got {rows!r}")
    dense = {layer for layer in model.modules() if not is_sparse(layer)}
    weights = tuple(weight for weight in prunable_weights(model, include, exclude) if weight.module in dense)
    if not weights:
        raise InvalidNetworkError(f"{type(model).__name__} has no dense layer with a weight to make sparse")
    _refuse_masks(weights)
    able = tuple(weight for weight in weights if has_sparse_form(weight.module))
    _refuse_dense(able)
    outputs: list[Tensor] = []
    shapes: dict[nn.Module, tuple[int, ...]] = {}
    if example_inputs is not None:
        outputs, shapes = input_shapes(model, [weight.module for weight in able], example_inputs)
    else:
        shapes = {weight.module: _default_shape(weight, rows) for weight in able}
    obstacles = _obstacles(model, weights, options.timings.hardware)
    reports: list[LayerReport] = []
    changed = False
    error = None if example_inputs is None else 0.0
    with transaction() as changes:  # outputs that differ, no memory, Ctrl-C: all layers or none
        changes.when_undone(torch.compiler.reset)
        for weight in weights:
            report, trial = _decide(weight, obstacles.get(weight.name), shapes.get(weight.module), options)
            reports.append(report)
            if trial is not None:
                make_sparse_(weight.module, trial.packed)
                changed = True
        if changed:
            torch.compiler.reset()
        if changed and example_inputs is not None:
            error = _verified(model, example_inputs, outputs)
    return SparseReport(layers=tuple(reports), output_error=error)


def _options(backend: str, min_speedup: float, benchmark: bool, padding: bool, hardware: Hardware | None) -> _Options:
    if backend != "auto" and backend not in BACKENDS:
        raise InvalidOptionError(f"unknown backend {backend!r}: choose auto, {' or '.join(BACKENDS)}")
    if not is_number(min_speedup) or not 0 < min_speedup < math.inf:
        raise InvalidOptionError(f"min_speedup must be a number > 0, got {min_speedup!r}")
    return _Options(backend, float(min_speedup), benchmark, padding, Timings(hardware or Cuda()))


def _refuse_masks(weights: tuple[PrunableWeight, ...]) -> None:
    masked = [weight.name for weight in weights if mask_of(weight.module, weight.attribute) is not None]
    if masked:
        raise InvalidNetworkError(
            f"{_listed(masked)} under a mask of prune_: make the zeros final with networks.finalize_(model) first"
        )


def _refuse_dense(weights: tuple[PrunableWeight, ...]) -> None:
    broken = [weight.name for weight in weights if nm_violations(as_weight(weight.tensor), PATTERN).size]
    if broken:
        raise InvalidNetworkError(
            f"{_listed(broken)} not {PATTERN}, and its surplus would be dropped without a word: prune with "
            f"networks.prune_(model, '{PATTERN}') and finalize_, or leave layers that shall stay dense out (exclude=)"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"


def _default_shape(weight: PrunableWeight, rows: int) -> tuple[int, ...]:
    width = weight.tensor.shape[1] * int(getattr(weight.module, "groups", 1))
    dimensions = weight.tensor.ndim - 2
    return (rows, width) if dimensions == 0 else (1, width, rows, *[1] * (dimensions - 1))


def _obstacles(model: nn.Module, weights: tuple[PrunableWeight, ...], hardware: Hardware) -> dict[str, str]:
    """Weight -> why it cannot be sparse, of those that cannot."""
    uses = Counter(id(parameter) for parameter, _ in holders(model))
    fused = {
        part
        for layer in model.modules()
        if isinstance(layer, nn.TransformerEncoderLayer) and torch.backends.mha.get_fastpath_enabled()
        for part in layer.modules()
    }
    found: dict[str, str] = {}
    for weight in weights:
        reason = hardware.obstacle(weight.stored.device)
        if reason is not None:
            found[weight.name] = reason
        elif parametrize.is_parametrized(weight.module, weight.attribute):
            found[weight.name] = "parametrized: torch.nn.utils.parametrize.remove_parametrizations makes it plain"
        elif weight.parameter is None:
            found[weight.name] = "computed by a hook (old-style weight_norm or torch.nn.utils.prune): remove it"
        elif (reason := layer_obstacle(weight.module)) is not None:
            found[weight.name] = reason
        elif uses[id(weight.sources()[0])] > 1:
            found[weight.name] = "shared with other modules, which would go on with the dense weight"
        elif weight.module in fused:
            found[weight.name] = (
                "in a TransformerEncoderLayer, whose fast path takes dense weights only: "
                "torch.backends.mha.set_fastpath_enabled(False) turns that off"
            )
    return found


def _decide(
    weight: PrunableWeight, obstacle: str | None, shape: tuple[int, ...] | None, options: _Options
) -> tuple[LayerReport, Trial | None]:
    """The report of a weight, and the trial that it is to be replaced by."""
    dtype = weight.stored.dtype
    name, extents, kind = weight.name, tuple(weight.stored.shape), str(dtype).removeprefix("torch.")

    def stays(reason: str, *, eligible: bool = False, trial: Trial | None = None) -> tuple[LayerReport, None]:
        return _report(name, extents, kind, reason, shape, trial, eligible=eligible), None

    if obstacle is not None:
        return stays(f"not eligible: {obstacle}")
    candidates, reason = _candidates(weight, options)
    if not candidates:
        return stays(f"not eligible: {reason}")
    if shape is None:
        return stays("dense: the example does not reach it", eligible=True)
    trials, refusals = _trials(weight.module, candidates, shape, options)
    if not trials:
        return stays(f"not eligible: {'; '.join(refusal.reason for refusal in refusals)}")
    best = max(trials, key=lambda trial: trial.speedup or 0.0)
    wrong = "".join(f"; {refusal.reason}" for refusal in refusals if refusal.wrong)
    if best.speedup is not None and not best.speedup > options.min_speedup:
        return stays(f"dense: not more than {options.min_speedup:g} times as fast{wrong}", eligible=True, trial=best)
    return _report(name, extents, kind, f"sparse: {best.backend}{wrong}", shape, best, eligible=True, sparse=True), best


def _candidates(weight: PrunableWeight, options: _Options) -> tuple[list[tuple[Layout, tuple[int, int]]], str]:
    """Layouts that take the weight, each with the shape to pack; why there are none."""
    present = [name for name in options.timings.hardware.backends() if options.backend in ("auto", name)]
    if not present:
        return [], f"the backend {options.backend} is not there"
    fitting = [layout for layout in layouts(weight.tensor.dtype) if layout.backend in present]
    if not fitting:
        known = " or ".join(str(dtype).removeprefix("torch.") for dtype in LINEAR_DTYPES)
        return [], f"no 2:4 product of {str(weight.tensor.dtype).removeprefix('torch.')}: cast the model to {known}"
    rows, columns = matrix(weight.module).shape
    candidates = [(layout, layout.padded((rows, columns))) for layout in fitting]
    if not (options.padding and options.benchmark):
        candidates = [(layout, shape) for layout, shape in candidates if shape == (rows, columns)]
    needed = " or ".join(f"({layout.rows}, {layout.columns}) for {layout.backend}" for layout in fitting)
    return candidates, f"{rows} x {columns} is no multiple of {needed}, and padding pays only where it is measured"


def _trials(
    layer: nn.Module, candidates: list[tuple[Layout, tuple[int, int]]], shape: tuple[int, ...], options: _Options
) -> tuple[list[Trial], list[Refusal]]:
    """Trials whose outputs are right, and what was wrong with the others; without a benchmark the first right one."""
    dense_ms = dense_milliseconds(layer, shape, options.timings) if options.benchmark else None
    trials: list[Trial] = []
    refusals: list[Refusal] = []
    for layout, padded in candidates:
        outcome = try_layer(layer, layout.backend, padded, shape, options.timings, dense_ms)
        if isinstance(outcome, Refusal):
            refusals.append(outcome)
            continue
        trials.append(outcome)
        if not options.benchmark:
            break
    return trials, refusals


def _report(
    name: str,
    extents: tuple[int, ...],
    kind: str,
    reason: str,
    shape: tuple[int, ...] | None,
    trial: Trial | None,
    *,
    eligible: bool,
    sparse: bool = False,
) -> LayerReport:
    plain = (extents[0], extents[1])
    return LayerReport(
        name=name,
        shape=extents,
        dtype=kind,
        sparse=sparse,
        eligible=eligible,
        reason=reason,
        input_shape=shape if trial is not None else None,
        backend=trial.backend if trial is not None else None,
        algorithm=trial.algorithm if trial is not None else None,
        padded=trial.padded if trial is not None and trial.padded != plain else None,
        dense_ms=trial.dense_ms if trial is not None else None,
        sparse_ms=trial.sparse_ms if trial is not None else None,
        max_error=trial.error if trial is not None else None,
    )


def _verified(model: nn.Module, example_inputs: ExampleInputs | Tensor, before: list[Tensor]) -> float:
    """Largest relative difference of the outputs; refused beyond what rounding of every layer explains."""
    try:
        after = eager_outputs(model, example_inputs)
    except InvalidNetworkError as failure:
        raise VerificationError(f"with sparse layers {failure}; nothing was changed") from failure
    real = [leaf for leaf in before if leaf.is_floating_point()]
    others = [leaf for leaf in after if leaf.is_floating_point()]
    error = difference(real, others) if len(real) == len(others) else math.inf
    depth = sum(is_sparse(layer) for layer in model.modules())
    limit = max(tolerance(dtype) for dtype in (torch.float16, *(leaf.dtype for leaf in real))) * max(4.0, depth**0.5)
    if not error <= limit:
        raise VerificationError(
            f"the outputs of the sparse model differ by {error:.1e} of the largest entry, which rounding ({limit:.1e}) "
            "does not explain; nothing was changed"
        )
    return error
