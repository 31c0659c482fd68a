"""Tensors that a model holds without having registered them: in a list, a dict, or an object that is no module.

``self.heads = [nn.Linear(...)]`` is no part of the state of a model, so that its entries never move. Its code may read
channels of the model all the same.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn

from permsolve.networks.keeping import foreign
from permsolve.networks.trace.tensors import Tensors, identity

_DEPTH = 6
_REGISTERED = frozenset(vars(nn.Module()))


Named = Iterator[tuple[str, torch.Tensor]]


def unregistered(model: nn.Module, tensors: Tensors, read: Iterable[torch.Tensor]) -> Named:
    """Names and tensors; activations are none of them.

    Parameters
    ----------
    model : Module
        The model.
    tensors : Tensors
        Those that it has registered.
    read : iterable of Tensor
        What the examples read without its being registered.
    """
    known = {identity(tensor) for tensor in (*tensors.tensors.values(), *read)}
    seen = {id(module) for module in model.modules()}
    for name, module in model.named_modules():
        for key, value in _attributes(module):
            for place, tensor in _within(f"{name}.{key}".removeprefix("."), value, seen, _DEPTH):
                if tensor.is_leaf and identity(tensor) not in known:
                    known.add(identity(tensor))
                    yield place, tensor


def _within(place: str, one: object, seen: set[int], depth: int) -> Named:
    if isinstance(one, torch.Tensor):
        yield place, one
        return
    if not depth or id(one) in seen:
        return
    seen.add(id(one))
    for key, part in _parts(one):
        yield from _within(f"{place}.{key}", part, seen, depth - 1)


def _parts(one: object) -> list[tuple[object, object]]:
    if isinstance(one, Mapping):
        return list(one.items())
    if isinstance(one, list | tuple | set | frozenset | deque):
        return list(enumerate(one))
    if isinstance(one, nn.Module):
        return [*one._parameters.items(), *one._buffers.items(), *one._modules.items(), *_attributes(one)]
    if isinstance(one, type) or foreign(type(one).__module__):
        return []
    return list(getattr(one, "__dict__", {}).items())


def _attributes(module: nn.Module) -> list[tuple[str, object]]:
    computed = _computed(module)
    return [(key, value) for key, value in vars(module).items() if key not in _REGISTERED and key not in computed]


def _computed(module: nn.Module) -> set[str | None]:
    """Attributes that a hook of torch computes before each call: those of old-style weight_norm and of pruning."""
    hooks = [hook for hook in module._forward_pre_hooks.values() if type(hook).__module__.startswith("torch.nn.utils.")]
    return {getattr(hook, place, None) for hook in hooks for place in ("name", "_tensor_name")}
