"""How far apart two outputs of a model are."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from permsolve.networks.trace.calls import plain

# How deep objects are looked into that torch cannot take apart.
_DEPTH = 4


def leaves(outputs: Any) -> list[Tensor | None]:
    """What a call returned, as tensors: numbered as in a trace, None for what is no real or complex number.

    Tensors that objects of other classes hold come last.
    """
    parts = pytree.tree_leaves(plain(outputs))
    return [*map(_tensor, parts), *_within(parts, _DEPTH)]


def _tensor(leaf: Any) -> Tensor | None:
    if isinstance(leaf, Tensor):
        return leaf.detach().clone()
    if isinstance(leaf, float | complex):
        return torch.tensor(leaf, dtype=torch.complex128 if isinstance(leaf, complex) else torch.float64, device="cpu")
    if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "fc":
        return torch.tensor(np.asarray(leaf), device="cpu")
    return None


def _within(parts: Iterable[Any], depth: int) -> list[Tensor | None]:
    """Tensors that objects hold as attributes."""
    found: list[Tensor | None] = []
    for part in parts:
        attributes = getattr(part, "__dict__", None)
        if depth and isinstance(attributes, dict) and not isinstance(part, Tensor | nn.Module | type):
            inner = pytree.tree_leaves(list(attributes.values()))
            found += [*map(_tensor, inner), *_within(inner, depth - 1)]
    return found


def comparable(outputs: Iterable[Tensor | None]) -> bool:
    """Whether there is any finite number."""
    return any(one is not None and bool(reals(one).isfinite().any()) for one in outputs)


def reordered(
    outputs: Sequence[Tensor | None], orders: Mapping[int, Mapping[int, Sequence[int]]]
) -> list[Tensor | None]:
    """Outputs whose axes are in another order, by their numbers."""
    result = list(outputs)
    for number, axes in orders.items():
        for axis, index in axes.items():
            output = result[number]
            if output is not None:
                result[number] = output.index_select(axis, torch.tensor(index, device=output.device))
    return result


def difference(
    before: Sequence[Tensor | None], after: Sequence[Tensor | None], scales: Sequence[float] | None = None
) -> float:
    """Largest difference of a finite number, relative to the largest of its tensor.

    Infinity where shapes, NaNs or infinities differ, or something is there only before or only after.
    """
    if len(before) != len(after):
        return math.inf
    worst = 0.0
    for a, b, scale in zip(before, after, scales or [0.0] * len(before), strict=True):
        if a is None and b is None:
            continue
        if a is None or b is None or a.shape != b.shape:
            return math.inf
        x, y = reals(a), reals(b)
        finite = x.isfinite()
        if not torch.equal(finite, y.isfinite()) or not _alike(x[~finite], y[~finite]):
            return math.inf
        x, y = x[finite], y[finite]
        if x.numel():
            largest = max(float(x.abs().max()), scale)
            worst = max(worst, float((x - y).abs().max()) / max(largest, 1e-300))
    return worst


def reals(tensor: Tensor) -> Tensor:
    """A tensor in float64, dense; of complex numbers both parts."""
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        return torch.view_as_real(tensor.to(torch.complex128).resolve_conj())
    return tensor.to(torch.float64)


def _alike(x: Tensor, y: Tensor) -> bool:
    """Whether NaNs stand where NaNs stood, and infinities of the same sign where those stood."""
    return bool(((x == y) | (x.isnan() & y.isnan())).all())
