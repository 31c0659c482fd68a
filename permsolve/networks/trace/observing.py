"""Which code gets to see which tensor while a model is called.

A tensor that a module computes for itself is seen by that module's own code alone, unless the module returns it, or
keeps it as an attribute, or somebody's hook catches it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from permsolve.networks.trace.places import Places


class Observer:
    """Collects the tensors that leave modules.

    Attributes
    ----------
    tensors : list of Tensor
        What left a module, in the order of the calls; the same tensor several times.
    places : list of str
        Where each of them was seen from: the name of the module whose code got it.
    ran : set of str
        Names of the modules that were called.
    """

    def __init__(self, model: nn.Module) -> None:
        self.tensors: list[torch.Tensor] = []
        self.places: list[str] = []
        self.ran: set[str] = set()
        self._places = Places(model)
        self._running: list[str] = []

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Watch the calls of all modules from now on; their hooks are as before afterwards."""
        self.tensors, self.places, self.ran, self._running = [], [], set(), []
        handles = []
        try:
            for name, module in model.named_modules():
                hooked = bool(module._forward_hooks or module._forward_pre_hooks)
                handles.append(module.register_forward_pre_hook(_Enter(self, name)))
                handles.append(module.register_forward_hook(_Leave(self, name, hooked)))
            yield
        finally:
            for handle in handles:
                handle.remove()
        self._kept(model)

    def enter(self, name: str) -> None:
        """A module is called."""
        self.ran.add(name)
        self._running.append(name)

    def leave(self, name: str, hooked: bool, arguments: Any, output: Any) -> None:
        """A module has returned; what somebody's hooks saw may be anywhere."""
        while self._running and self._running.pop() != name:
            pass
        caller = self._running[-1] if self._running else ""
        place = "" if hooked else self._places.common(self._places.home(name), caller)
        self._see(output, place)
        if hooked:
            self._see(arguments, place)

    def _see(self, nested: Any, place: str) -> None:
        for tensor in _computed(nested, set()):
            self.tensors.append(tensor)
            self.places.append(place)

    def _kept(self, model: nn.Module) -> None:
        """What was computed and is an attribute of a module now can be read from anywhere."""
        seen = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
        for module in model.modules():
            for key, value in vars(module).items():
                if key not in _REGISTERED:
                    for tensor in _computed(value, seen):
                        self.tensors.append(tensor)
                        self.places.append("")


_REGISTERED = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")


_DEPTH = 6


def _computed(nested: Any, seen: set[int], depth: int = _DEPTH) -> Iterator[torch.Tensor]:
    """Tensors of a trace in a nest of containers and objects, but for modules."""
    if isinstance(nested, FakeTensor):
        if id(nested) not in seen:
            seen.add(id(nested))
            yield nested
        return
    other = isinstance(nested, torch.Tensor | nn.Module | type | str | bytes | int | float | None)
    if other or not depth or id(nested) in seen:
        return
    seen.add(id(nested))
    if isinstance(nested, Mapping):
        parts: Iterable[Any] = list(nested.values())
    elif isinstance(nested, list | tuple | set | frozenset):
        parts = list(nested)
    else:
        parts = list(getattr(nested, "__dict__", {}).values())
    for part in parts:
        yield from _computed(part, seen, depth - 1)


class _Enter:
    def __init__(self, observer: Observer, name: str) -> None:
        self.observer, self.name = observer, name

    def __call__(self, module: nn.Module, arguments: Any) -> None:
        self.observer.enter(self.name)


class _Leave:
    def __init__(self, observer: Observer, name: str, hooked: bool) -> None:
        self.observer, self.name, self.hooked = observer, name, hooked

    def __call__(self, module: nn.Module, arguments: Any, output: Any) -> None:
        self.observer.leave(self.name, self.hooked, arguments, output)
