"""Masks for all weights of a network."""

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from permsolve.errors import InvalidNetworkError, InvalidProblemError
from permsolve.masks import nm_mask
from permsolve.networks.prunable import WEIGHT, NameFilter, PrunableWeight, prunable_weights
from permsolve.networks.pruning.holders import Holder, holders, overlapping
from permsolve.networks.pruning.mask import NMMask, mask_of
from permsolve.pattern import Pattern
from permsolve.saliency import SaliencyFunction
from permsolve.weights import as_weight


def prune_(
    model: nn.Module,
    pattern: str | Pattern = "2:4",
    *,
    saliency: str | SaliencyFunction = "magnitude",
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
) -> dict[str, Tensor]:
    """Prune the Linear and Conv1d/2d/3d weights of a model to N:M, in place, by masks that training keeps.

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

    Returns
    -------
    dict of str to Tensor
        By name of the weight (``layer.weight``) its mask, bool, True where the weight is kept. These are the
        buffers of the model, not copies.

    Raises
    ------
    InvalidNetworkError
        When a weight is not a parameter, shares memory with another one, or is not there yet. The model is then
        as it was.
    InvalidProblemError
        When a weight is not finite.
    InvalidPatternError, UnknownSaliencyError, InvalidOptionError
        When an argument cannot be used.

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
    parsed = Pattern.parse(pattern)
    chosen = prunable_weights(model, include, exclude)
    if not chosen:
        raise InvalidNetworkError(f"{type(model).__name__} has no Linear or convolution layer to prune")
    users: defaultdict[int, list[Holder]] = defaultdict(list)
    parameters: dict[int, tuple[Tensor, str]] = {}
    for parameter, holder in holders(model):
        users[id(parameter)].append(holder)
        parameters.setdefault(id(parameter), (parameter, holder.name))
    plans = []
    for weight in chosen:
        places = _places(weight, users, parameters)
        if weight.tensor.shape[1] > parsed.n:
            plans.append((weight.name, places, _mask(weight, parsed, saliency)))
    return {name: _register(places, mask, parsed) for name, places, mask in plans}


def _places(
    weight: PrunableWeight, users: dict[int, list[Holder]], parameters: dict[int, tuple[Tensor, str]]
) -> list[Holder]:
    """All places where a mask must be put; refuses what no mask can be put on."""
    if weight.parameter is None:
        if parametrize.is_parametrized(weight.module, WEIGHT):
            return [Holder(weight.module, WEIGHT, weight.name)]
        raise InvalidNetworkError(
            f"{weight.name} is no parameter: a hook computes it (old-style weight_norm or torch.nn.utils.prune); "
            "remove the hook, or exclude the layer"
        )
    source = weight.module.get_parameter(weight.parameter.removeprefix(weight.module_name).removeprefix("."))
    if is_lazy(source):
        raise InvalidNetworkError(f"{weight.name} has no shape yet: run the model once before pruning it")
    if source.is_meta:
        raise InvalidNetworkError(f"{weight.name} is on the meta device and has no values: load the weights first")
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


def _mask(weight: PrunableWeight, pattern: Pattern, saliency: str | SaliencyFunction) -> Tensor:
    with torch.no_grad():
        tensor = weight.tensor
    try:
        array = as_weight(tensor)
        mask = nm_mask(array, np.arange(array.shape[1]), pattern, saliency)
    except InvalidProblemError as error:
        raise InvalidProblemError(f"{weight.name}: {error}") from error
    return torch.from_numpy(mask).to(tensor.device)


def _register(places: list[Holder], mask: Tensor, pattern: Pattern) -> Tensor:
    known = mask_of(places[0].module, places[0].attribute)
    if known is not None:
        known.tighten(mask, pattern)
        return known.mask
    step = NMMask(mask, pattern)
    for place in places:
        parametrize.register_parametrization(place.module, place.attribute, step)
    return step.mask
