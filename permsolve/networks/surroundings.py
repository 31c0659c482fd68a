"""What the host program has set in torch and numpy, which neither disturbs this package nor is changed by it."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from threading import Lock
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
    - Where the default device is ``meta``, as in a program that loads a model, tensors are made with values, unless
      the model has none.
    - Random number generators of torch, numpy and Python stand afterwards where they stood.
    - Numpy makes no remarks (:func:`permsolve.arithmetic.own_arithmetic`).
    """

    @wraps(function)
    def shielded(*args: P.args, **kwargs: P.kwargs) -> R:
        model = args[0] if args else kwargs.get("model")
        with _ordinary_tensors(), _values(model), _no_casts_kept(), _RANDOM_NUMBERS.set():
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
    if torch.get_default_device().type != "meta" or (tensors and all(tensor.is_meta for tensor in tensors)):
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


class ForAllThreads:
    """Something that there is once in a process, and that several threads may want set at the same time.

    The first of them sets it, and the last one puts it back: each on its own could put back what another has set.
    """

    def __init__(self, setting: Callable[[], AbstractContextManager[None]]) -> None:
        self._setting, self._done = setting, ExitStack()
        self._lock, self._users = Lock(), 0

    @contextmanager
    def set(self) -> Iterator[None]:
        """Have it set meanwhile."""
        with self._lock:
            if not self._users:
                self._done.enter_context(self._setting())
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._done.close()


@contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """Set all global random number generators back at the end."""
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)  # noqa: NPY002


@contextmanager
def _no_fast_path() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def _nothing_compiled() -> Iterator[None]:
    with torch.compiler.set_stance("force_eager"):
        yield


_RANDOM_NUMBERS = ForAllThreads(_random_numbers_kept)
_FAST_PATH = ForAllThreads(_no_fast_path)
_COMPILATION = ForAllThreads(_nothing_compiled)


def fast_path_off() -> AbstractContextManager[None]:
    """Have attention and encoder layers call their parts, which their fast path does not."""
    return _FAST_PATH.set()


def compilation_off() -> AbstractContextManager[None]:
    """Run compiled models eagerly: what was compiled earlier would not see a hook that came later."""
    return _COMPILATION.set()
