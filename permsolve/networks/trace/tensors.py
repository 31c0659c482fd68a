"""The parameters and buffers of a module: which names stand for one tensor, and which may move at all."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import nn

UNSAVED = "a buffer that is not saved with the weights"


@dataclass(frozen=True)
class Tensors:
    """Named tensors of a module, merged where several names stand for the same one.

    Attributes
    ----------
    owner : dict of str to str
        Every qualified name -> the first name of the same tensor.
    tensors : dict of str to Tensor
        First names only.
    fixed : dict of str to str
        First names of tensors that must not move -> the reason in plain words.
    """

    owner: dict[str, str]
    tensors: dict[str, torch.Tensor]
    fixed: dict[str, str] = field(default_factory=dict)


def named_tensors(model: nn.Module, constants: Iterable[torch.Tensor] = ()) -> Tensors:
    """Collect the parameters and buffers of a module.

    ``constants`` are tensors that the module reads without having them registered: what shares memory with one of them
    must not move, since the constant would move along.
    """
    owner: dict[str, str] = {}
    tensors: dict[str, torch.Tensor] = {}
    fixed: dict[str, str] = {}
    known: dict[object, str] = {}
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        first = known.setdefault(identity(tensor), name)
        owner[name] = first
        tensors.setdefault(first, tensor)
    saved = set(model.state_dict(keep_vars=True))
    for name, tensor in tensors.items():
        if all(alias not in saved for alias, first in owner.items() if first == name):
            fixed[name] = UNSAVED
        elif (why := strange(tensor)) is not None:
            fixed[name] = why
    # The empty prefix of a name belongs to no parameter.
    unnamed = {f".{number}": constant for number, constant in enumerate(constants)}
    for name in _overlapping({**tensors, **unnamed}) - unnamed.keys():
        fixed[name] = "memory that it shares with another tensor"
    return Tensors(owner, tensors, fixed)


def strange(tensor: torch.Tensor) -> str | None:
    """Why nobody knows what moving the entries of a tensor would do; None for dense real tensors of torch's own."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
        return "its kind: it is no dense real tensor"
    if type(tensor) not in (torch.Tensor, nn.Parameter):
        return f"its kind: {type(tensor).__name__} is a tensor class of its own"
    return None


def identity(tensor: torch.Tensor) -> object:
    """Equal for tensors that are the same memory, seen the same way."""
    if tensor.layout != torch.strided or tensor.numel() == 0:
        return id(tensor)
    return *_address(tensor), tensor.dtype, tuple(tensor.shape), tensor.stride()


def _address(tensor: torch.Tensor) -> tuple[str, int]:
    """Where a tensor begins in which memory; on the meta device each storage is one of its own."""
    if tensor.is_meta:
        return f"meta {tensor.untyped_storage()._cdata}", int(tensor.storage_offset()) * tensor.element_size()
    return str(tensor.device), tensor.data_ptr()


def _overlapping(tensors: dict[str, torch.Tensor]) -> set[str]:
    """Names of tensors of which a part belongs to another one, or that overlap themselves."""
    spans = []
    found = set()
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.numel() == 0:
            continue
        extent = sum((length - 1) * stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True)) + 1
        if extent < tensor.numel():
            found.add(name)
        memory, begin = _address(tensor)
        spans.append((memory, begin, begin + extent * tensor.element_size(), name))
    spans.sort()
    widest: tuple[str, int, int, str] | None = None
    for span in spans:
        if widest is not None and widest[0] == span[0] and span[1] < widest[2]:
            found |= {span[3], widest[3]}
        if widest is None or widest[0] != span[0] or span[2] > widest[2]:
            widest = span
    return found
