"""Errors that come at any call of an operator of torch, and whether a model is then what it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from permsolve.errors import PermsolveError

Action = Callable[[nn.Module, "torch.optim.Optimizer | None"], object]


class InjectedError(RuntimeError):
    """What is raised."""


class _Count:
    """Raises at one call, before or after it is made."""

    def __init__(self, at: int, error: type[BaseException], *, after: bool) -> None:
        self.at, self.error, self.after, self.calls = at, error, after, 0

    def call(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self.calls += 1
        here = self.calls == self.at
        if here and not self.after:
            raise self.error("before")
        result = func(*args, **(kwargs or {}))
        if here:
            raise self.error("after")
        return result


class _Functions(TorchFunctionMode):
    def __init__(self, count: _Count) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ in ("__get__", "_set_grad_enabled"):  # an attribute, and a switch of torch: no operators
            return func(*args, **(kwargs or {}))
        return self.count.call(func, args, kwargs)


class _Operators(TorchDispatchMode):
    supports_higher_order_operators = True

    def __init__(self, count: _Count) -> None:
        super().__init__()
        self.count = count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.count.call(func, args, kwargs)


@contextmanager
def fault(
    at: int, error: type[BaseException] = InjectedError, *, after: bool = False, operators: bool = False
) -> Iterator[_Count]:
    """Raise at one call of a function of torch, or of an operator beneath; -1 counts only."""
    count = _Count(at, error, after=after)
    with _Operators(count) if operators else _Functions(count):
        yield count


def fingerprint(model: nn.Module, optimizer: torch.optim.Optimizer | None, x: Tensor) -> dict[str, Any]:
    """All of a model and its optimizer that should be as before: values as bytes, and which objects they are."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        found[f"{name}: class"] = type(module)
        for key, value in vars(module).items():
            whole = isinstance(value, dict | set)
            found[f"{name}.{key}"] = [
                (part, id(value[part]) if isinstance(value, dict) else 0) for part in value
            ] if whole else (id(value) if isinstance(value, nn.Module | Tensor) else repr(value))  # fmt: skip
        found[f"{name}: attributes"] = list(vars(module))
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        found[name] = id(tensor), tensor.data_ptr(), tensor.requires_grad, tensor.stride(), _bytes(tensor)
        if tensor.is_leaf:
            found[f"grad of {name}"] = id(tensor.grad), None if tensor.grad is None else _bytes(tensor.grad)
    found["state dict"] = list(model.state_dict())
    if optimizer is not None:
        for index, parameter in enumerate(model.parameters()):
            for key, value in optimizer.state.get(parameter, {}).items():
                found[f"{key} of {index}"] = id(value), _bytes(value) if isinstance(value, Tensor) else value
    with torch.no_grad():
        found["outputs"] = _bytes(model(x))
    return found


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def calls(model: nn.Module, optimizer: torch.optim.Optimizer | None, action: Action, *, operators: bool) -> int:
    """How many calls an action makes that comes to its end."""
    copy, follower = deepcopy((model, optimizer))
    with fault(-1, operators=operators) as count:
        action(copy, follower)
    return count.calls


def differences(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    x: Tensor,
    action: Action,
    places: Iterator[tuple[int, type[BaseException], bool, bool]],
) -> list[str]:
    """What is not as before where an error ended an action early: at (call, error, after it, operators)."""
    wrong: list[str] = []
    copy, follower = deepcopy((model, optimizer))
    before = fingerprint(copy, follower, x)
    for at, error, after, operators in places:
        try:
            with fault(at, error, after=after, operators=operators):
                action(copy, follower)
        except (error, PermsolveError):  # some say what it was that failed
            now = fingerprint(copy, follower, x)
            changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
            if not changed:
                continue
            wrong.append(f"call {at}, {error.__name__}, after={after}, operators={operators}: {', '.join(changed[:6])}")
        copy, follower = deepcopy((model, optimizer))  # it came to its end, in spite of the error
        before = fingerprint(copy, follower, x)
    return wrong
