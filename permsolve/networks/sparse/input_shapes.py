"""Shapes of what the layers of a model read when it is called."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from permsolve.networks.surroundings import compilation_off
from permsolve.networks.trace.calls import ExampleInputs, plain
from permsolve.networks.trace.export import called


def eager_outputs(model: nn.Module, example_inputs: ExampleInputs | Tensor) -> list[Tensor]:
    """Outputs of a model in evaluation mode: all tensors in them, in order.

    It runs eagerly, even if compiled.

    Raises
    ------
    InvalidNetworkError
        When the model cannot be called with the example; what it raised is the cause.
    """
    with compilation_off():
        output = called(model, example_inputs)
    parts = [plain(one) for one in output] if isinstance(output, list) else plain(output)
    return [leaf for leaf in pytree.tree_leaves(parts) if isinstance(leaf, Tensor)]


def input_shapes(
    model: nn.Module, layers: Iterable[nn.Module], example_inputs: ExampleInputs | Tensor
) -> tuple[list[Tensor], dict[nn.Module, tuple[int, ...]]]:
    """Outputs of a model, and for each of some layers that it calls the shape of the largest input.

    Raises
    ------
    InvalidNetworkError
        See :func:`eager_outputs`.
    """
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        shape = tuple((args[0] if args else kwargs["input"]).shape)
        if torch.Size(shape).numel() >= torch.Size(shapes.get(layer, (0,))).numel():
            shapes[layer] = shape

    handles = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    try:
        outputs = eager_outputs(model, example_inputs)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, shapes
