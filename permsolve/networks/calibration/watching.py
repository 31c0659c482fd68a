"""Seeing what the layers of a model read while it runs.

Layers are seen by hooks, after those of a gather. Where other code reads a weight (the output projection of
``nn.MultiheadAttention`` is never called as a layer), the product itself is seen: a dispatch mode looks at every
product and convolution of ATen, and knows the weight, or some of its rows or of its matrices (experts), by their
address in memory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from permsolve.networks.calibration.geometry import Geometry
from permsolve.networks.layers import reads_input
from permsolve.networks.prunable import PrunableWeight

# Called with the name of a weight, an input of it, and how it is read.
Seen = Callable[[str, Tensor, Geometry], None]

_ATEN = torch.ops.aten
# Operator -> places of input and weight among its arguments.
_PRODUCTS = {_ATEN.mm: (0, 1), _ATEN.addmm: (1, 2), _ATEN.bmm: (0, 1), _ATEN.linear: (0, 1), _ATEN.convolution: (0, 1)}


@contextmanager
def watched(
    layers: Mapping[str, Sequence[PrunableWeight]], seen: Seen, products: Sequence[str], entered: set[str] | None = None
) -> Iterator[None]:
    """Report, while the body runs a model, what weights are multiplied by.

    Parameters
    ----------
    layers : mapping of str to sequence of PrunableWeight
        Weight -> the same in all layers that have it.
    seen : callable
        What is told.
    products : sequence of str
        The weights for which products are looked at, too, beside calls of their layers.
    entered : set of str, optional
        Filled with the weights that were seen outside of a call of their layers.
    """
    inside: list[str] = []
    seen = _ordinary(seen)
    with ExitStack() as stack:
        for name, places in layers.items():
            for place in places:
                if reads_input(place.module):
                    for handle in _hooked(name, place, seen, inside):
                        stack.callback(handle.remove)
        if products:
            firsts = {name: layers[name][0] for name in products}
            if any(parametrize.is_parametrized(one.module, one.attribute) for one in firsts.values()):
                stack.enter_context(parametrize.cached())  # so that a computed weight keeps its address
            stack.enter_context(_Products(firsts, seen, inside, entered if entered is not None else set()))
        yield


def _ordinary(seen: Seen) -> Seen:
    """The same, told of ordinary tensors where the forward of a model runs in inference mode."""

    def told(name: str, x: Tensor, geometry: Geometry) -> None:
        if not torch.is_inference_mode_enabled():
            seen(name, x, geometry)
            return
        with torch.inference_mode(False), torch.no_grad():
            seen(name, x, geometry)

    return told


def _hooked(name: str, weight: PrunableWeight, seen: Seen, inside: list[str]) -> Iterator[RemovableHandle]:
    module = weight.module
    geometry = Geometry.of(module)
    channels, places = weight.tensor.shape[1] * geometry.groups, len(geometry.kernel)

    def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inside.append(name)
        x = args[0] if args else kwargs["input"]
        if x.ndim > places and x.shape[-1 - places] == channels:  # what does not fit, the layer itself refuses
            seen(name, x, geometry)

    def after(layer: nn.Module, args: Any, output: Any) -> None:
        if name in inside:  # a hook before ours may have failed
            inside.remove(name)

    yield module.register_forward_pre_hook(before, with_kwargs=True)
    yield module.register_forward_hook(after, always_call=True)


class _Products(TorchDispatchMode):
    """Looks at every product whose second factor is a weight, or some rows of one, outside of calls of its layers."""

    def __init__(self, weights: Mapping[str, PrunableWeight], seen: Seen, inside: list[str], entered: set[str]) -> None:
        super().__init__()
        self._weights: dict[int, list[tuple[str, Tensor]]] = {}
        for name, weight in weights.items():
            stored = weight.stored.detach()
            if stored.layout == torch.strided and stored.numel() and not stored.is_meta:
                known = self._weights.setdefault(stored.untyped_storage().data_ptr(), [])
                known.append((name, weight.layout.apart(stored)))
        self._seen, self._inside, self._entered = seen, inside, entered

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        places = _PRODUCTS.get(func.overloadpacket)
        if places is None and "grouped_mm" in func.overloadpacket.__name__:
            places = (0, 1)
        if places is not None and len(args) > places[1]:
            self._look(func.overloadpacket, args[places[0]], args[places[1]], args, kwargs or {})
        return func(*args, **(kwargs or {}))

    def _look(self, operator: Any, x: Tensor, factor: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if type(factor) not in (Tensor, nn.Parameter) or factor.layout != torch.strided or factor.is_meta:
            return
        for name, weight in self._weights.get(factor.untyped_storage().data_ptr(), ()):
            if name in self._inside:
                continue
            if operator is _ATEN.convolution:
                fits = weight[0].shape == factor.shape and weight.data_ptr() == factor.data_ptr() and not args[6]
                geometry = Geometry.of_call(weight[0], args[3], args[4], args[5], args[8]) if fits else None
            else:
                offsets = args[2] if len(args) > 2 else kwargs.get("offs")
                geometry = _read(operator, factor, weight, offsets)
            if geometry is not None:
                self._entered.add(name)
                self._seen(name, x, geometry)


def _read(operator: Any, factor: Tensor, weight: Tensor, offsets: Any) -> Geometry | None:
    """How a second factor reads a weight (parts, out, in), None where it is something else."""
    if weight.ndim != 3 or factor.ndim not in (2, 3):
        return None
    shared = factor.ndim == 3 and factor.stride(0) == 0  # the same matrix for each of a batch
    one = factor[:1] if shared else factor if factor.ndim == 3 else factor.unsqueeze(0)
    matrices = one if operator is _ATEN.linear else one.mT  # (parts, out, in)
    parts, outputs, inputs = matrices.shape
    step, line, column = weight.stride()
    place = int(matrices.storage_offset()) - int(weight.storage_offset())
    first, rest = divmod(place, step) if len(weight) > 1 else (0, place)
    row = rest // line if line else 0
    fits = (
        inputs == weight.shape[2]
        and (inputs == 1 or matrices.stride(2) == column)
        and (outputs == 1 or matrices.stride(1) == line)
        and (parts == 1 or matrices.stride(0) == step)
        and row * line == rest
        and 0 <= row <= weight.shape[1] - outputs
        and 0 <= first <= len(weight) - parts
    )
    if not fits:
        return None
    partial = outputs < weight.shape[1]
    if len(weight) == 1:
        return Geometry(partial=partial)
    if operator not in _PRODUCTS:  # a product for each group of rows
        ends = tuple(offsets.tolist()) if isinstance(offsets, Tensor) else None
        return None if ends is None else Geometry(part=first, ends=ends, partial=partial)
    return Geometry(part=first, stacked=factor.ndim == 3 and not shared, partial=partial)
