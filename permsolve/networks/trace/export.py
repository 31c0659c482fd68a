"""From a module to a functional ATen graph."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from permsolve.errors import InvalidNetworkError, InvalidOptionError, UntraceableError

# What torch says where it speaks of its own inner workings only -> what it is about.
_MEANINGS = {
    "fake tensor in the exported program constant's list": "the forward computes gradients itself (torch.autograd), or "
    "reads a tensor that it kept from an earlier call",
}

ExampleInputs = Sequence[Any] | Mapping[str, Any]


def split_inputs(example_inputs: ExampleInputs | torch.Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of a call.

    Raises
    ------
    InvalidOptionError
        When the example is neither a tensor, a tuple or list, nor a dict with names as keys.
    """
    if isinstance(example_inputs, torch.Tensor):
        return (example_inputs,), {}
    if isinstance(example_inputs, Mapping) and all(isinstance(name, str) for name in example_inputs):
        return (), dict(example_inputs)
    if isinstance(example_inputs, tuple | list):
        return tuple(example_inputs), {}
    raise InvalidOptionError(
        f"example_inputs is a tuple of arguments or a dict of keyword arguments, got {type(example_inputs).__name__}"
    )


@contextmanager
def mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Put the whole module into training or evaluation mode, and every part back into its own afterwards."""
    before = [(part, part.training) for part in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for part, was in before:
            part.training = was


def check_module(model: object) -> None:
    """Refuse what is no module, or has parameters without a shape.

    Raises
    ------
    InvalidNetworkError
        With the remedy.
    """
    if not isinstance(model, nn.Module):
        raise InvalidNetworkError(f"the model must be a torch.nn.Module, got {type(model).__name__}")
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise InvalidNetworkError(f"{name} has no shape yet: run the model once first")


def constants(program: Any) -> list[torch.Tensor]:
    """Tensors that a graph reads, but that are neither parameters nor buffers."""
    names = program.graph_signature.inputs_to_lifted_tensor_constants.values()
    return [program.constants[name] for name in names]


PREFIX = "whole."


class _Whole(nn.Module):
    """The model as a part: as the whole of a graph, its names could clash with those of a graph module."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.whole = model
        self.training = model.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.whole(*args, **kwargs)


def exported(model: nn.Module, example_inputs: ExampleInputs, *, training: bool) -> Any:
    """The module as a functional graph of ATen operators, high-level ones kept.

    Raises
    ------
    UntraceableError
        When torch cannot export it, for example because its course depends on data.
    """
    args, kwargs = split_inputs(example_inputs)
    with mode(model, training), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(_Whole(model), args, kwargs, strict=False)
            return program.run_decompositions({})
        except Exception as error:  # the model's own code runs here: whatever it raises ends up in one clear message
            said = " ".join(str(error).split())
            known = (meaning for text, meaning in _MEANINGS.items() if text in said)
            reason = next(known, f"{type(error).__name__}: {said[:300]}".removesuffix(": "))
            raise UntraceableError(
                f"torch.export cannot trace {type(model).__name__} ({reason}). Make the forward free of data-dependent "
                "control flow and of calls of torch.autograd, or write the axis groups by hand "
                "(permsolve.networks.Spec) and pass them as spec="
            ) from error
