"""Explicit gathers: a layer that reads its input in an order of its own, by an index-select in front of it.

Where a gather stands, the layer's columns no longer follow the producers of its input. In the axis groups they
are a group of their own together with the index of the gather, and what the producers permute changes the *values* of
the index instead.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from permsolve.errors import InvalidNetworkError
from permsolve.networks.prunable import WEIGHT
from permsolve.networks.spec import AxisGroup, AxisUse, Spec
from permsolve.networks.transaction import transaction

NAME = "input_gather"
_PREFIX = "gather:"
_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_STANDARD = {kind.forward for kind in _KINDS}
_UNKNOWN = "the axis groups do not say which layers read its weight (readers)"
_OTHERS = "other code than linear layers and convolutions reads its weight"
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_backward_pre_hooks")


class Gather(nn.Module):
    """Re-orders one dimension of a tensor; part of a layer, under the name ``input_gather``.

    Parameters
    ----------
    length : int
        Length of the dimension; the order is the given one at first.
    dim : int
        The dimension, counted from the end.
    """

    index: Tensor

    def __init__(self, length: int, dim: int, device: torch.device | None = None) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("index", torch.arange(length, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Entry ``index[i]`` at place ``i``."""
        return x.index_select(self.dim, self.index)

    def extra_repr(self) -> str:
        """The length, for printing."""
        return f"{self.index.numel()}, dim={self.dim}"


def gather_input(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Run a layer's gather: a forward pre-hook, found by name so that copies of the layer use their own."""
    gather = layer.get_submodule(NAME)
    if args:
        return (gather(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "input": gather(kwargs["input"])}


def obstacle(model: nn.Module, spec: Spec, parameter: str | None) -> str | None:
    """Why no gather can stand in front of the layers that read a weight; None where one can."""
    reader = spec.readers.get(spec.aliases.get(parameter, parameter)) if parameter is not None else None
    if reader is None:
        return _OTHERS if spec.readers else _UNKNOWN
    for name in reader.layers:
        layer = model.get_submodule(name)
        if not isinstance(layer, _KINDS):
            return _OTHERS
        if type(layer).forward not in _STANDARD or "forward" in vars(layer):
            return f"{name or 'the model'} has a forward of its own"
        hooks = [hook for kind in _HOOKS for hook in (getattr(layer, kind) or {}).values()]
        if any(hook is not gather_input for hook in hooks):
            return f"{name or 'the model'} has hooks of its own"
    return None


def with_gathers(model: nn.Module, spec: Spec, parameters: Iterable[str]) -> Spec:
    """Axis groups of a model in which the layers that read some weights have gathers in front."""
    owners = {spec.aliases.get(name, name): None for name in parameters}
    shapes, aliases = dict(spec.shapes), dict(spec.aliases)
    new: list[AxisGroup] = []
    places: dict[str, tuple[str, int]] = {}
    for owner in owners:
        layers = spec.readers[owner].layers
        index, *others = (_index(name) for name in layers)
        weight = getattr(model.get_submodule(layers[0]), WEIGHT)
        parts, width = _parts(model, layers[0]), weight.shape[1]
        shapes[owner], shapes[index] = tuple(weight.shape), (parts * width,)
        aliases |= dict.fromkeys(others, index)
        places[owner] = index, parts
        each = weight.shape[0] // parts
        columns = np.arange(width)[:, None]
        for part in range(parts):
            rows = (part * each, (part + 1) * each) if parts > 1 else None
            uses = (AxisUse(owner, 1, columns, rows), AxisUse(index, 0, columns + part * width))
            new.append(AxisGroup(f"{_PREFIX}{owner}" + (f"/{part}" if parts > 1 else ""), width, uses))
    groups = [replace(group, uses=tuple(_detached(group, places, shapes))) for group in spec.groups]
    return replace(spec, groups=(*groups, *new), shapes=shapes, aliases=aliases)


def insert_(model: nn.Module, spec: Spec, parameters: Iterable[str]) -> None:
    """Put gathers, which change nothing yet, in front of the layers that read some weights; those there stay."""
    with _compiled_anew() as changed:
        for owner in parameters:
            layers = spec.readers[spec.aliases.get(owner, owner)].layers
            first = model.get_submodule(layers[0])
            weight = getattr(first, WEIGHT)
            gather = getattr(first, NAME, None)
            if gather is None:
                gather = Gather(_parts(model, layers[0]) * weight.shape[1], 1 - weight.ndim, weight.device)
                gather.train(first.training)
            for name in layers:
                layer = model.get_submodule(name)
                if gather_input not in layer._forward_pre_hooks.values():
                    if hasattr(layer, NAME):
                        raise InvalidNetworkError(
                            f"{name} has an attribute {NAME!r} already: leave it out with exclude="
                        )
                    changed(layer)
                    layer.add_module(NAME, gather)
                    layer.register_forward_pre_hook(gather_input, with_kwargs=True)


def remove_(model: nn.Module, spec: Spec, parameters: Iterable[str]) -> None:
    """Take gathers away again that leave the order as it is."""
    with _compiled_anew() as changed:
        for owner in parameters:
            for name in spec.readers[spec.aliases.get(owner, owner)].layers:
                layer = model.get_submodule(name)
                gather = getattr(layer, NAME, None)
                if isinstance(gather, Gather) and bool((gather.index.diff() == 1).all()):
                    changed(layer)
                    delattr(layer, NAME)
                    for key in [key for key, hook in layer._forward_pre_hooks.items() if hook is gather_input]:
                        del layer._forward_pre_hooks[key]
                        layer._forward_pre_hooks_with_kwargs.pop(key, None)


@contextmanager
def _compiled_anew() -> Iterator[Callable[[nn.Module], None]]:
    """Have ``torch.compile`` compile anew what it has compiled, where layers change, or change back.

    Its guards do not look at hooks, so that a compiled model would go on without the gathers, or with those that are
    gone. What this gives is to be called with each layer before that changes.
    """
    with transaction() as changes:
        touched: list[nn.Module] = []

        def changed(layer: nn.Module) -> None:
            if not touched:
                changes.when_undone(torch.compiler.reset)
            touched.append(layer)
            changes.keep(layer)

        yield changed
        if touched:
            torch.compiler.reset()


def gathered_weight(group: AxisGroup) -> str | None:
    """The weight whose columns a group of :func:`with_gathers` orders; None for other groups."""
    return group.uses[0].name if group.name.startswith(_PREFIX) else None


def _index(layer: str) -> str:
    return f"{layer}.{NAME}.index" if layer else f"{NAME}.index"


def _parts(model: nn.Module, layer: str) -> int:
    groups = getattr(model.get_submodule(layer), "groups", 1)
    assert isinstance(groups, int)
    return groups


def _detached(
    group: AxisGroup, places: Mapping[str, tuple[str, int]], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[AxisUse]:
    """The uses of a group, where those of gathered columns become uses of the values of the index."""
    found: dict[str, list[Any]] = {}
    for use in group.uses:
        if use.axis != 1 or use.name not in places:
            yield use
            continue
        index, parts = places[use.name]
        rows, width = shapes[use.name][:2]
        start, stop = (0, parts) if use.rows is None else (bound * parts // rows for bound in use.rows)
        found.setdefault(index, []).extend(use.positions + part * width for part in range(start, stop))
    for index, positions in found.items():
        yield AxisUse(index, 0, np.concatenate(positions, axis=1), values=True)
