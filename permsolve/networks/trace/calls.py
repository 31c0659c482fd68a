"""Example inputs: one call of a model, or several whose union is meant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch
from torch import nn

from permsolve.errors import InvalidOptionError

FORWARD = "forward"


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a model.

    Attributes
    ----------
    args : tuple
        Positional arguments.
    kwargs : dict of str
        Keyword arguments.
    method : str, default "forward"
        What is called: the model itself, or another entry point of it, such as ``"embed"``, or a part,
        such as ``"decoder"`` or ``"decoder.generate"``.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    method: str = FORWARD

    def __post_init__(self) -> None:
        named = isinstance(self.kwargs, Mapping) and all(isinstance(name, str) for name in self.kwargs)
        if not (isinstance(self.args, tuple | list) and named and isinstance(self.method, str)):
            raise InvalidOptionError(
                "a Call has a tuple of arguments, a dict of keyword arguments and the name of a method, got "
                f"({type(self.args).__name__}, {type(self.kwargs).__name__}, {type(self.method).__name__})"
            )
        object.__setattr__(self, "args", tuple(self.args))
        object.__setattr__(self, "kwargs", dict(self.kwargs))

    def __repr__(self) -> str:
        return f"Call({len(self.args)} arguments, {', '.join(self.kwargs) or 'none by name'}, method={self.method!r})"

    def of(self, model: nn.Module) -> Any:
        """What the model returns."""
        called = model if self.method == FORWARD else attrgetter(self.method)(model)
        return called(*self.args, **self.kwargs)


OneCall = tuple[Any, ...] | Mapping[str, Any] | torch.Tensor | Call
ExampleInputs = OneCall | Sequence[Any]


def calls_of(example_inputs: ExampleInputs) -> tuple[Call, ...]:
    """The calls that example inputs stand for.

    A tuple holds the positional arguments of one call, a dict its keyword arguments, and a tensor is its only
    argument. A list holds calls, each of them a tuple, a dict or a :class:`Call`.

    Raises
    ------
    InvalidOptionError
        For anything else: a list of bare tensors, say, could be one call or several.
    """
    if isinstance(example_inputs, list):
        if not example_inputs:
            raise InvalidOptionError("example_inputs is an empty list: give one call at least")
        if len(example_inputs) == 1:
            return (_call(example_inputs[0]),)
        for one in example_inputs:
            if not isinstance(one, tuple | Mapping | Call):
                raise InvalidOptionError(
                    f"example_inputs is a list with a {type(one).__name__} in it, which could be one call or several: "
                    "write the arguments of one call as a tuple (x, y), and several calls as [(x,), (y,)]"
                )
        return tuple(_call(one) for one in example_inputs)
    return (_call(example_inputs),)


def _call(example: Any) -> Call:
    if isinstance(example, Call):
        return example
    if isinstance(example, torch.Tensor):
        return Call((example,))
    if isinstance(example, Mapping) and all(isinstance(name, str) for name in example):
        return Call((), example)
    if isinstance(example, tuple):
        return Call(example)
    raise InvalidOptionError(
        "example_inputs is a tuple of arguments, a dict of keyword arguments, a Call, or a list of such calls, got "
        f"{type(example).__name__}"
    )


def plain(outputs: Any) -> Any:
    """Outputs whose class torch cannot take apart, such as a dataclass, by their attributes."""
    if isinstance(outputs, Mapping):
        return dict(outputs)
    if hasattr(outputs, "__dataclass_fields__"):
        return {name: getattr(outputs, name) for name in outputs.__dataclass_fields__}
    return outputs
