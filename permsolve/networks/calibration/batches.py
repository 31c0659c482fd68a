"""Calibration data: batches, and what a model is called with for one of them."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from permsolve.errors import InvalidOptionError
from permsolve.networks.calibration.memory import ran_out
from permsolve.networks.calibration.padding import Padding
from permsolve.networks.trace.export import calling

_REMEDY = "a batch is all that one call takes, and nothing else, such as labels"


class Batches:
    """An iterable of batches whose first one can be looked at beforehand.

    Raises
    ------
    InvalidOptionError
        When it is no iterable, or has no batch.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        if isinstance(batches, Tensor | Mapping) or not isinstance(batches, Iterable):
            raise InvalidOptionError(
                f"batches is an iterable of batches, got {type(batches).__name__}: put a single one into a list"
            )
        self._batches = batches
        iterator = iter(batches)
        self.once = iterator is batches
        missing = object()
        self.first: Any = next(iterator, missing)
        if self.first is missing:
            raise InvalidOptionError(
                "batches has no batch, or none is left of what can be read only once: give a list with at least one"
            )
        self._read: Iterator[Any] | None = iterator
        self._rest: Iterator[Any] | None = iterator if self.once else None
        self.count = len(batches) if isinstance(batches, Sized) else 0

    def __iter__(self) -> Iterator[Any]:
        if not self.once:
            again = iter(self._batches)
            if again is not self._read or isinstance(self._batches, DataLoader):  # whose workers stay, and start anew
                self._read = None
                return again
            self.once, self._rest = True, again  # it goes on after the first one
        if self._rest is None:
            raise InvalidOptionError(
                "batches can be read only once, and the calibration needs them again: give a list or another iterable "
                "that starts anew"
            )
        rest, self._rest = self._rest, None
        return chain([self.first], rest)


def call(
    model: torch.nn.Module,
    batch: Any,
    device: torch.device | None,
    number: int = 1,
    padding: Padding | None = None,
) -> None:
    """Call a model with a batch: a tensor, a tuple or list of arguments, or arguments by name.

    What is padding in it is followed meanwhile.

    Raises
    ------
    InvalidOptionError
        When the batch, which is named by its number, is something else.
    InvalidNetworkError
        When the model cannot be called with it.
    """
    with ExitStack() as stack:
        with calling(f"batch {number}", _REMEDY):
            moved = _moved(batch, device)
        if padding is not None:
            stack.enter_context(padding.followed(model, batch, moved, number))
        stack.enter_context(calling(f"batch {number}", _REMEDY))
        stack.enter_context(_memory_named(number))
        if isinstance(moved, Tensor):
            model(moved)
        elif isinstance(moved, dict):
            model(**moved)
        elif isinstance(moved, tuple | list):
            model(*moved)
        else:
            raise InvalidOptionError(
                f"batch {number} is a {type(batch).__name__}: a batch is a tensor, a tuple of arguments, or a dict of "
                "arguments by name"
            )


@contextmanager
def _memory_named(number: int) -> Iterator[None]:
    """Say of running out of memory in the model itself with which batch, and what helps."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise InvalidOptionError(
            f"out of memory while the model reads batch {number}: give smaller batches (shorter texts: --length), or a "
            "smaller memory_limit= (--memory-limit) for what is summed up meanwhile"
        ) from error


def _moved(value: Any, device: torch.device | None) -> Any:
    if isinstance(value, Tensor):
        return value if device is None else value.to(device)
    if isinstance(value, Mapping):  # the encodings of tokenizers, too
        return {name: _moved(part, device) for name, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_moved(part, device) for part in value))
    if isinstance(value, tuple | list):
        return type(value)(_moved(part, device) for part in value)
    return value
