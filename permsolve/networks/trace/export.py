"""From a module to a functional ATen graph."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from permsolve.errors import InvalidNetworkError, InvalidOptionError, PermsolveError, UntraceableError

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


def _on_meta(model: nn.Module) -> bool:
    """Whether a model has no values at all."""
    tensors = [*model.parameters(), *model.buffers()]
    return bool(tensors) and all(tensor.is_meta for tensor in tensors)


def _arguments(
    model: nn.Module, example_inputs: ExampleInputs | torch.Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of a call, on the meta device where the whole model is."""
    args, kwargs = split_inputs(example_inputs)
    if _on_meta(model):
        args, kwargs = pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), (args, kwargs))
    return args, kwargs


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


def as_module(model: object) -> nn.Module:
    """The model as it is.

    Raises
    ------
    InvalidNetworkError
        When it is no module.
    """
    if not isinstance(model, nn.Module):
        raise InvalidNetworkError(f"the model must be a torch.nn.Module, got {type(model).__name__}")
    return model


def check_module(model: object) -> None:
    """Refuse what is no module, or has parameters without a shape.

    Raises
    ------
    InvalidNetworkError
        With the remedy.
    """
    model = as_module(model)
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise InvalidNetworkError(f"{name} has no shape yet: run the model once first")


def described(error: BaseException) -> str:
    """An error of a model or of torch in one line, which is not too long."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:300]}".removesuffix(": ")


@contextmanager
def calling(what: str, remedy: str) -> Iterator[None]:
    """Say of an error in a call of a model what it was called with; what the model raised is the cause.

    Raises
    ------
    InvalidNetworkError
        In place of all errors but those of this package.
    """
    try:
        yield
    except PermsolveError:
        raise
    except Exception as error:  # a model is somebody's code: whatever it raises
        raise InvalidNetworkError(f"the model cannot be called with {what} ({described(error)}): {remedy}") from error


def called(model: nn.Module, example_inputs: ExampleInputs | torch.Tensor) -> Any:
    """Output of a model in evaluation mode.

    Raises
    ------
    InvalidNetworkError
        When it cannot be called with the example.
    """
    args, kwargs = _arguments(model, example_inputs)
    remedy = "mend the inputs, or load the model, which is on the meta device" if _on_meta(model) else "mend the inputs"
    with mode(model, False), torch.no_grad(), calling("the example inputs", remedy):
        return model(*args, **kwargs)


def check_example(model: nn.Module, example_inputs: ExampleInputs) -> None:
    """Refuse an example that a model cannot be called with.

    Raises
    ------
    InvalidNetworkError
        With what the model raised.
    """
    try:
        copy = deepcopy(model)  # whose state may advance
    except Exception:  # of the model's own parts: then nobody knows
        return
    with torch.random.fork_rng():
        called(copy, example_inputs)


def constants(program: Any) -> list[torch.Tensor]:
    """Tensors that a graph reads, but that are neither parameters nor buffers."""
    names = program.graph_signature.inputs_to_lifted_tensor_constants.values()
    return [program.constants[name] for name in names]


PREFIX = "whole."


class _ForwardError(Exception):
    """The forward of the model has failed; with the cause.

    Of a class that torch does not know: for some of its own it prints the graph to stderr.
    """


class _Whole(nn.Module):
    """The model as a part: as the whole of a graph, its names could clash with those of a graph module."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.whole = model
        self.training = model.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.whole(*args, **kwargs)
        except Exception as error:
            raise _ForwardError from error


@contextmanager
def _quiet_torch() -> Iterator[None]:
    """Keep torch from logging what ends up in an error, unless somebody asked it to log more, or less."""
    logger = logging.getLogger("torch")
    if logger.level != logging.WARNING:
        yield
        return
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(logging.WARNING)


def exported(model: nn.Module, example_inputs: ExampleInputs, *, training: bool) -> Any:
    """The module as a functional graph of ATen operators, high-level ones kept.

    Raises
    ------
    UntraceableError
        When torch cannot export it, for example because its course depends on data.
    """
    args, kwargs = _arguments(model, example_inputs)
    with mode(model, training), torch.no_grad(), warnings.catch_warnings(), _quiet_torch():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(_Whole(model), args, kwargs, strict=False)
            return program.run_decompositions({})
        except Exception as error:  # the model's own code runs here: whatever it raises ends up in one clear message
            failure = error.__cause__ if isinstance(error, _ForwardError) and error.__cause__ is not None else error
            said = described(failure)
            reason = next((meaning for text, meaning in _MEANINGS.items() if text in said), said)
            raise UntraceableError(
                f"torch.export cannot trace {type(model).__name__} ({reason}). Make the forward free of data-dependent "
                "control flow and of calls of torch.autograd, or write the axis groups by hand "
                "(permsolve.networks.Spec) and pass them as spec="
            ) from failure
