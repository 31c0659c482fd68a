"""Masks for all weights of a network, and new values for what they keep."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from permsolve.errors import InvalidNetworkError, InvalidOptionError, InvalidProblemError
from permsolve.masks import nm_mask
from permsolve.moments import InputMoments
from permsolve.networks.calibration import Calibration, calibrate
from permsolve.networks.calibration.calibrate import unseen
from permsolve.networks.calibration.matching import completed
from permsolve.networks.calibration.padding import AUTO, Mask, Padding
from permsolve.networks.calibration.paired import PairedMoments, calibrate_pair, uses_of
from permsolve.networks.copying import copied
from permsolve.networks.matrices import Matrices
from permsolve.networks.prunable import NameFilter, PrunableWeight, prunable_weights
from permsolve.networks.pruning.holders import Holder, holders, overlapping
from permsolve.networks.pruning.mask import NMMask, mask_of, put_mask
from permsolve.networks.pruning.masks import Masks
from permsolve.networks.pruning.update import UPDATES, Fit, fit
from permsolve.networks.surroundings import undisturbed
from permsolve.networks.trace.export import as_module
from permsolve.networks.transaction import Transaction, all_or_nothing, transaction
from permsolve.networks.worth import Worth
from permsolve.networks.writing import check_writable
from permsolve.pattern import Pattern
from permsolve.saliency import AnySaliency, Saliency, get_saliency
from permsolve.weights import as_weight

_SHORT = "it reads no more inputs than the pattern keeps of each group"
_EXCLUDE = "leave the layer out with exclude="


@dataclass(frozen=True, slots=True)
class _Plan:
    """What happens to one weight."""

    weight: PrunableWeight
    places: list[Holder]


@undisturbed
@all_or_nothing
def prune_(
    model: nn.Module,
    pattern: str | Pattern = "2:4",
    *,
    saliency: AnySaliency = "magnitude",
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
    calibration: Calibration | None = None,
    update: str | None = None,
    batches: Iterable[object] | None = None,
    mask: Mask = AUTO,
) -> Masks:
    """Prune the weights of a model to N:M, in place, by masks that training keeps.

    These are the weights of all kinds of layers that are registered (:mod:`permsolve.networks.layers`): linear layers,
    convolutions, transposed ones, attention, experts in parameters of three dimensions, and more.

    Each weight is put under an :class:`NMMask` (:mod:`torch.nn.utils.parametrize`): its parameter stays the object
    that an optimizer knows, and what the mask drops is zero in every use and gets no gradient. Masks are part of
    the state dict. :func:`finalize_` makes the zeros final. Permute first: a permutation afterwards moves the masks
    along, but groups that it breaks up are no longer N:M.

    Groups are M consecutive input channels, which for grouped convolutions are those of one group of the convolution;
    when M does not divide their number, the last group is short and keeps up to N. A weight with at most N input
    channels (a depthwise convolution) is left alone. A parameter that several modules share is masked
    in all of them. A weight that is under a mask already loses what the new pattern drops, too; nothing comes back.

    Parameters
    ----------
    model : Module
        The model.
    pattern : Pattern or str, default "2:4"
        The pattern.
    saliency : str or callable, default "magnitude"
        What to keep the largest of: see :meth:`permsolve.Problem.from_weight`.
    include, exclude : str, iterable of str, or callable, optional
        Which layers: see :func:`permsolve.networks.prunable.prunable_weights`.
    calibration : Calibration, optional
        What each layer reads (:func:`permsolve.networks.calibrate`), of the model as it is, in its present order:
        calibrated saliencies and the update need it.
    update : {None, "obs", "exchange"}, optional
        With ``"obs"`` the weights that are kept get the values that change the outputs of their layer least on the
        calibration data: masked least squares (:func:`permsolve.reconstruction.refit`), for very large layers the
        sweep of SparseGPT. With ``"exchange"`` the masks are improved first, until no exchange of a kept and a dropped
        weight of a group brings those outputs nearer to what they were with all kept weights of the row fitted anew
        (:func:`permsolve.reconstruction.exchange`); layers for which this would take too long are fitted only. Second
        moments are damped by 0.01 of the mean of their diagonal.
    batches : iterable, optional
        Calibration data that is read for each layer anew, instead of ``calibration``: layers are pruned one after the
        other, in the order of their calls, each for what it reads in the network whose earlier layers are pruned
        already; an update fits to the outputs that the layer had in the dense network, so that it makes up for what
        earlier layers lost, too (a layer that both call differently, an expert of a mixture say, is fitted for what it
        reads now). A list, say; not a generator. A copy of the model is needed while this runs.
    mask : optional
        What is padding in the batches: see :func:`permsolve.networks.calibrate`.

    Returns
    -------
    Masks
        By name of the weight (``layer.weight``) its mask, bool, True where the weight is kept. These are the
        buffers of the model, not copies. Where all second moments of what a layer reads are known, its ``errors`` tell
        by how much the layer's outputs change, with the kept weights as they were and as they are. A layer that the
        calibration data do not reach (an expert that no token chose) is pruned by magnitude, and its ``notes`` say so.

    Raises
    ------
    InvalidNetworkError
        When the model is no module, or a weight is not a parameter, shares memory with another one, or is not there
        yet. The model is then as it was, as it is after all other errors.
    InvalidProblemError
        When a weight is not finite.
    InvalidPatternError, UnknownSaliencyError, InvalidOptionError
        When an argument cannot be used, or no calibration is there for a weight that needs it.

    Examples
    --------
    >>> import torch
    >>> from permsolve.networks.pruning import finalize_, is_nm, prune_
    >>> layer = torch.nn.Linear(8, 4)
    >>> masks = prune_(layer, "2:4")
    >>> is_nm(layer.weight, "2:4"), int(masks["weight"].sum())
    (True, 16)
    >>> finalize_(layer)
    ('weight',)
    """
    as_module(model)
    parsed, scores = Pattern.parse(pattern), get_saliency(saliency)
    if update not in UPDATES:
        raise InvalidOptionError(
            f"update must be {', '.join(map(repr, UPDATES[:-1]))} or {UPDATES[-1]!r}, got {update!r}"
        )
    if calibration is not None and batches is not None:
        raise InvalidOptionError("give a calibration, or batches to calibrate each layer with, not both")
    if isinstance(batches, Iterator):
        raise InvalidOptionError("batches are read once for each layer: give a list, not a generator")
    chosen = prunable_weights(model, include, exclude)
    if not chosen:
        raise InvalidNetworkError(f"{type(model).__name__} has no layer with a weight to prune")
    check_sources(chosen)
    users: defaultdict[int, list[Holder]] = defaultdict(list)
    parameters: dict[int, tuple[Tensor, str]] = {}
    for parameter, holder in holders(model):
        users[id(parameter)].append(holder)
        parameters.setdefault(id(parameter), (parameter, holder.name))
    plans = [_Plan(weight, _places(weight, users, parameters)) for weight in chosen]
    short = {plan.weight.name: _SHORT for plan in plans if plan.weight.tensor.shape[1] <= parsed.n}
    plans = [plan for plan in plans if plan.weight.name not in short]
    if update is not None:
        for plan in plans:
            _check_updatable(plan)
    masks, matrices = Masks(), Matrices.of(model)
    if batches is None:
        worth = Worth(scores, calibration).checked([plan.weight for plan in plans], update)
        masks.notes |= {**({} if calibration is None else calibration.notes), **worth.notes()}
        found = [_fitted(plan, parsed, worth, update) for plan in plans]
        with transaction() as changes:
            for plan, fitted in zip(plans, found, strict=True):
                _write(masks, plan, parsed, fitted, changes)
    else:
        padding = Padding(mask)
        _prune_in_order(model, plans, parsed, scores, update, batches, padding, masks)
    masks.skipped = matrices.left_out(masks, short)
    masks.share = sum(mask.numel() for mask in masks.values()) / matrices.entries if matrices.entries else 0.0
    return masks


def _prune_in_order(
    model: nn.Module, plans: Sequence[_Plan], pattern: Pattern, saliency: Saliency, update: str | None,
    batches: Iterable[object], padding: Padding, masks: Masks,
) -> None:  # fmt: skip
    """Prune one layer after the other, in the order of their calls; an error or Ctrl-C takes all of it back."""
    dense = copied(model, "be pruned layer by layer")
    by_name = {plan.weight.name: plan for plan in plans}
    read: dict[str, InputMoments] = {}  # without products
    with transaction() as changes:
        for name, uses in uses_of(model, list(by_name), batches).items():
            plan = by_name[name]
            paired = None if update is None or not uses else calibrate_pair(model, dense, name, batches, uses, padding)
            if paired is not None:
                calibration = Calibration({name: paired.inputs})
            elif uses:  # more than one way of calling it, or another one than the dense network's
                calibration = _alone((model, dense), plan.weight, batches, padding)
            else:
                calibration = Calibration(read, {name: unseen([plan.weight])})
                calibration = completed(calibration, [by_name[other].weight for other in read], [plan.weight])
            worth = Worth(saliency, calibration).checked([plan.weight], update)
            fitted = _fitted(plan, pattern, worth, update, paired)
            _write(masks, plan, pattern, fitted, changes)
            masks.notes |= {**calibration.notes, **padding.notes, **worth.notes()}
            read[name] = InputMoments(calibration[name].mean_square)


def _alone(
    models: Sequence[nn.Module], weight: PrunableWeight, batches: Iterable[object], padding: Padding
) -> Calibration:
    """What one weight reads in the first of some models that calls its layer."""
    found = Calibration({})
    for model in models:
        found = calibrate(model, batches, include=lambda name: name == weight.module_name, mask=padding.mask)
        if weight.name in found:
            break
    return found


def _fitted(
    plan: _Plan, pattern: Pattern, worth: Worth, update: str | None, paired: PairedMoments | None = None
) -> Fit:
    known = mask_of(plan.places[0].module, plan.places[0].attribute)
    allowed = None if known is None else plan.weight.layout.matrix(known.mask)
    mask = _mask(plan, pattern, worth, allowed)
    return fit(plan.weight, mask, pattern, worth.calibration, update, allowed, paired)


def _write(masks: Masks, plan: _Plan, pattern: Pattern, fitted: Fit, changes: Transaction) -> None:
    """Put a weight under its mask, give it its values, and remember both."""
    mask = plan.weight.as_stored(fitted.mask)
    masks[plan.weight.name] = _register(plan.places, mask, pattern, changes)
    fitted.write(plan.weight, changes)
    if fitted.error is not None:
        masks.errors[plan.weight.name] = fitted.error


def check_sources(weights: Iterable[PrunableWeight]) -> None:
    """Refuse weights whose parameters cannot be written to, or are not there as a whole."""
    sources = [(weight.name, source) for weight in weights for source in weight.sources() if not is_lazy(source)]
    check_writable(sources, f", or {_EXCLUDE}")
    for name, source in sources:
        if not source.numel():
            raise InvalidNetworkError(
                f"{name} has shape {tuple(source.shape)} and no entries (is the model sharded or offloaded?): "
                f"gather the whole weights first, or {_EXCLUDE}"
            )
        if source.is_complex():
            raise InvalidProblemError(f"{name}: a weight must hold real numbers, got {source.dtype}: {_EXCLUDE}")


def _places(
    weight: PrunableWeight, users: dict[int, list[Holder]], parameters: dict[int, tuple[Tensor, str]]
) -> list[Holder]:
    """All places where a mask must be put; refuses what no mask can be put on."""
    if weight.parameter is None:
        if parametrize.is_parametrized(weight.module, weight.attribute):
            return [Holder(weight.module, weight.attribute, weight.name)]
        raise InvalidNetworkError(
            f"{weight.name} is no parameter: a hook computes it (old-style weight_norm or torch.nn.utils.prune); "
            "remove the hook, or exclude the layer"
        )
    (source,) = weight.sources()
    if is_lazy(source):
        raise InvalidNetworkError(f"{weight.name} has no shape yet: run the model once before pruning it")
    for other, name in parameters.values():
        if not is_lazy(other) and overlapping(source, other):
            raise InvalidNetworkError(
                f"{weight.name} and {name} are different parameters that share memory: make them one parameter, "
                "or give one a copy"
            )
    places = users[id(source)]
    if len(places) > 1 and any(_foreign(place) for place in places):
        raise InvalidNetworkError(
            f"{weight.name} is shared by {', '.join(place.name for place in places)} and parametrized there: "
            "remove the parametrization, or exclude the layer"
        )
    return places


def _foreign(place: Holder) -> bool:
    """Whether the parameter is under a parametrization that is no mask of ours."""
    if not parametrize.is_parametrized(place.module, place.attribute):
        return False
    steps = place.module.get_submodule(f"parametrizations.{place.attribute}")
    return not all(isinstance(step, NMMask) for step in steps.children())


def _check_updatable(plan: _Plan) -> None:
    if plan.weight.parameter is None or any(_foreign(place) for place in plan.places):
        raise InvalidNetworkError(
            f"{plan.weight.name} is parametrized, and its values cannot be set: remove the parametrization, or exclude "
            "the layer"
        )


def _mask(plan: _Plan, pattern: Pattern, worth: Worth, allowed: Tensor | None) -> Tensor:
    """What is kept of a weight: what the pattern keeps, without what an earlier mask drops already."""
    weight = plan.weight
    with torch.no_grad():
        tensor = weight.tensor
    try:
        array = as_weight(tensor)
        mask = nm_mask(array, np.arange(array.shape[1]), pattern, worth.saliency, worth.inputs(weight))
    except InvalidProblemError as error:
        raise InvalidProblemError(f"{weight.name}: {error}") from error
    kept = torch.from_numpy(mask).to(tensor.device)
    return kept if allowed is None else kept & allowed


def _register(places: list[Holder], mask: Tensor, pattern: Pattern, changes: Transaction) -> Tensor:
    known = mask_of(places[0].module, places[0].attribute)
    if known is not None:
        known.tighten(mask, pattern, changes)
        return known.mask
    step = NMMask(mask, pattern)
    for place in places:
        put_mask(place.module, place.attribute, step)
    return step.mask
