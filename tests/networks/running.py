"""Running models of any kind of inputs and outputs, and comparing what comes out."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from permsolve.stopping import MaxIterations

Inputs = tuple[Tensor, ...] | dict[str, Tensor]

# A search that is short and ends after the same work on every machine, however busy it is.
BRIEF: dict[str, Any] = {"time_limit": None, "stop": MaxIterations(50), "workers": 1}


def randomised(model: nn.Module) -> nn.Module:
    """Replace what starts alike for all channels (scales, biases, running statistics) by random numbers, in float64."""
    model.double()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point() and tensor.ndim and bool((tensor == tensor.flatten()[:1]).all()):
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return model


def tensors(output: Any) -> Iterator[Tensor]:
    """The tensors of a nested output, in order."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        for part in output.values():
            yield from tensors(part)
    elif isinstance(output, tuple | list):
        for part in output:
            yield from tensors(part)


def run(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    """Outputs of the model itself (its state may advance), with a fixed seed."""
    torch.manual_seed(0)
    with torch.no_grad():
        output = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    return list(tensors(output))


def outputs(model: nn.Module, inputs: Inputs, *, train: bool = False) -> list[Tensor]:
    """Outputs of a copy; in train mode those of two calls, and then of one in eval mode, with the new statistics."""
    copy = deepcopy(model)
    if not train:
        return run(copy.eval(), inputs)
    copy.train()
    return [*run(copy, inputs), *run(copy, inputs), *run(copy.eval(), inputs)]


def relative_error(got: list[Tensor], expected: list[Tensor]) -> float:
    """Largest difference, as a share of the largest entry of its output."""
    assert [part.shape for part in got] == [part.shape for part in expected]
    worst = 0.0
    for one, other in zip(got, expected, strict=True):
        if other.numel():
            scale = max(float(other.abs().max()), 1e-30)
            worst = max(worst, float((one - other).abs().max()) / scale)
    return worst
