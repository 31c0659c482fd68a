"""Copies of a model, and what stands in the way of one."""

from collections import deque
from collections.abc import Iterator, Mapping
from copy import deepcopy
from types import FunctionType, ModuleType

import torch
from torch import nn

from permsolve.errors import InvalidNetworkError


def copied(model: nn.Module, why: str, memory: Mapping[int, object] | None = None) -> nn.Module:
    """A copy of a model; of activations that it kept, only the values.

    Parameters
    ----------
    model : Module
        The model.
    why : str
        What cannot be done without a copy, for the message: ``"be verified"``.
    memory : mapping of int to object, optional
        Copies that there are already, by the ``id`` of what they are copies of; those of itself are shared.

    Raises
    ------
    InvalidNetworkError
        When an attribute of the model cannot be copied, which is named.
    """
    try:
        return deepcopy(model, {id(one): one.detach().clone() for one in _activations(model)} | dict(memory or {}))
    except Exception as error:  # of the model's own parts
        said = " ".join(str(error).split())[:200]
        place = _obstacle(model)
        what = f"its attribute {place} can" if place else "it can"
        first = f"set {place} to None or delete it first" if place else "remove what cannot be copied first"
        raise InvalidNetworkError(
            f"the model cannot be copied, which it must be to {why}: {what} not be ({type(error).__name__}: {said}): "
            f"{first}"
        ) from error


def _activations(model: nn.Module) -> Iterator[torch.Tensor]:
    """Tensors with a piece of a graph of gradients that the objects of a model hold: Python cannot copy these."""
    seen: dict[int, object] = {}
    waiting: list[object] = [model]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, torch.Tensor):
            if not one.is_leaf:
                yield one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple | set | deque):
            waiting += one
        elif not isinstance(one, type | ModuleType | FunctionType):
            waiting.append(getattr(one, "__dict__", None))


def _obstacle(model: nn.Module) -> str | None:
    """Name of the attribute, or of its part, that cannot be copied."""
    for name, module in model.named_modules():
        parts = {id(child): child for child in module.children()}
        for attribute, value in vars(module).items():
            if attribute == "_modules":
                continue
            where = f"{name}.{attribute}".removeprefix(".")
            entries = value.items() if isinstance(value, dict) and attribute.startswith("_") else [(None, value)]
            for key, entry in entries:
                try:
                    deepcopy(entry, {id(model): model, id(module): module, **parts})
                except Exception:  # of the attribute, which is looked for
                    return where if key is None or not isinstance(key, str) else f"{name}.{key}".removeprefix(".")
    return None
