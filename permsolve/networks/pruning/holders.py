"""Which modules use one parameter."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


@dataclass(frozen=True, slots=True)
class Holder:
    """A module that uses a parameter.

    Attributes
    ----------
    module : Module
        The module.
    attribute : str
        What the parameter is called there.
    name : str
        Qualified name, such as ``embedding.weight``.
    """

    module: nn.Module
    attribute: str
    name: str


def holders(model: nn.Module) -> Iterator[tuple[Tensor, Holder]]:
    """Every use of a parameter in a model, under a parametrization too, as long as that has one original."""
    for prefix, module in model.named_modules():
        start = f"{prefix}." if prefix else ""
        if not isinstance(module, parametrize.ParametrizationList):
            for attribute, parameter in module._parameters.items():
                if parameter is not None:
                    yield parameter, Holder(module, attribute, f"{start}{attribute}")
        if parametrize.is_parametrized(module):
            for attribute, steps in module.get_submodule("parametrizations").named_children():
                original = getattr(steps, "original", None)
                if isinstance(original, Tensor):
                    yield original, Holder(module, attribute, f"{start}{attribute}")


def overlapping(one: Tensor, other: Tensor) -> bool:
    """Whether two different tensors share memory."""
    if one is other or one.device != other.device or 0 in (one.numel(), other.numel()):
        return False
    if one.layout != torch.strided or other.layout != torch.strided:
        return False
    (start, end), (other_start, other_end) = _span(one), _span(other)
    return start < other_end and other_start < end


def _span(tensor: Tensor) -> tuple[int, int]:
    last = sum((extent - 1) * stride for extent, stride in zip(tensor.shape, tensor.stride(), strict=True))
    start = tensor.data_ptr()
    return start, start + (last + 1) * tensor.element_size()
