"""Seeing what the layers of a model read while it runs.

Layers are seen by hooks, after those of a gather. Where other code reads a weight (the output projection of
``nn.MultiheadAttention`` is never called as a layer), the product itself is seen: a dispatch mode looks at every
product and convolution of ATen, and knows the weight by its address in memory.
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
            weights = {name: one.tensor for name, one in firsts.items()}
            stack.enter_context(_Products(weights, seen, inside, entered if entered is not None else set()))
        yield


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
        inside.remove(name)

    yield module.register_forward_pre_hook(before, with_kwargs=True)
    yield module.register_forward_hook(after, always_call=True)


class _Products(TorchDispatchMode):
    """Looks at every product whose second factor is one of the weights, outside of calls of their layers."""

    def __init__(self, weights: Mapping[str, Tensor], seen: Seen, inside: list[str], entered: set[str]) -> None:
        super().__init__()
        self._weights = {
            weight.data_ptr(): (name, weight.detach())
            for name, weight in weights.items()
            if weight.layout == torch.strided and weight.numel()
        }
        self._seen, self._inside, self._entered = seen, inside, entered

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        places = _PRODUCTS.get(func.overloadpacket)
        if places is not None and len(args) > places[1]:
            self._look(func.overloadpacket, args[places[0]], args[places[1]], args)
        return func(*args, **(kwargs or {}))

    def _look(self, operator: Any, x: Tensor, factor: Tensor, args: Sequence[Any]) -> None:
        if type(factor) not in (Tensor, nn.Parameter) or factor.layout != torch.strided:
            return
        name, weight = self._weights.get(factor.data_ptr(), ("", factor))
        if not name or name in self._inside:
            return
        geometry = Geometry()
        if operator is _ATEN.convolution:
            fits = factor.shape == weight.shape and not args[6]
            geometry = Geometry.of_call(weight, args[3], args[4], args[5], args[8]) if fits else geometry
        elif operator is _ATEN.linear:
            fits = factor.shape == weight.shape
        else:  # the transposed weight, for bmm once for each matrix
            last = factor[0] if factor.ndim == 3 and factor.stride(0) == 0 else factor
            fits = weight.ndim == 2 and last.shape == weight.t().shape and last.stride() == weight.t().stride()
        if fits:
            self._entered.add(name)
            self._seen(name, x, geometry)
