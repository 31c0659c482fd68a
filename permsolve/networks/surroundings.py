"""What the host program has set in torch and numpy, which neither disturbs this package nor is changed by it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import nn

from permsolve.arithmetic import own_arithmetic

P = ParamSpec("P")
R = TypeVar("R")


def undisturbed(function: Callable[P, R]) -> Callable[P, R]:
    """Have a public function work as anywhere, whatever region of the host it is called in, and leave that as it was.

    - Within ``torch.inference_mode`` it makes ordinary tensors.
    - Within ``torch.autocast`` models run as the host wants, but casts of weights are neither read from the region's
      cache, which would be those of weights that have changed since, nor left in it.
    - Where the default device is ``meta``, as in a program that loads a model, tensors are made with values.
    - Random number generators of torch, numpy and Python stand afterwards where they stood.
    - Numpy makes no remarks (:func:`permsolve.arithmetic.own_arithmetic`).
    """

    @wraps(function)
    def shielded(*args: P.args, **kwargs: P.kwargs) -> R:
        model = args[0] if args else kwargs.get("model")
        with _ordinary_tensors(), _values(model), _no_casts_kept(), random_numbers_kept():
            return function(*args, **kwargs)

    return own_arithmetic(shielded)


@contextmanager
def _ordinary_tensors() -> Iterator[None]:
    """Leave inference mode, and keep the host's choice of whether gradients are computed."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def _values(model: object) -> Iterator[None]:
    """Make tensors on the CPU where by default they would have no values, but those of the model have."""
    tensors = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
    if torch.get_default_device().type != "meta" or all(tensor.is_meta for tensor in tensors):
        yield
        return
    with torch.device("cpu"):
        yield


@contextmanager
def _no_casts_kept() -> Iterator[None]:
    """Turn the cache of autocast off, and empty it."""
    enabled = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    torch.clear_autocast_cache()
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(enabled)
        torch.clear_autocast_cache()


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Set all global random number generators back at the end."""
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)  # noqa: NPY002
