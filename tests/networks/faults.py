"""Errors that come at any call of an operator of torch, and whether a model is then what it was.

An action runs once. At each call that an error is to come at, the process forks: the error comes in the child, which
says what is not as before and ends, while the parent goes on. So every call has its turn in the time of one run and
of what comes after each error.
"""

import gc
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from permsolve.errors import PermsolveError

Action = Callable[[nn.Module, "torch.optim.Optimizer | None"], object]


class InjectedError(RuntimeError):
    """What is raised."""


@dataclass(slots=True)
class Count:
    """Calls of one kind, and what errors at them led to.

    Attributes
    ----------
    step : int
        Of so many calls one has an error, the first one included.
    calls, errors : int
        Calls there were, and errors that came.
    survived : list of str
        Errors in spite of which the action came to its end.
    wrong : list of str
        What was not as before, of each error.
    here : tuple, optional
        In a child: the error that came there, and when.
    """

    step: int = 1
    calls: int = 0
    errors: int = 0
    survived: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    here: tuple[str, type[BaseException], int] | None = None

    def call(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Make a call; in a child of this process with an error, before it or after it."""
        if self.here is not None:
            return func(*args, **kwargs)
        self.calls += 1
        turn, remainder = divmod(self.calls - 1, self.step)
        if remainder == 0:
            error, after = (InjectedError, KeyboardInterrupt)[turn % 2], bool(turn // 2 % 2)
            if self._forked(f"{error.__name__} {'after' if after else 'before'} call {self.calls}, {func}", error):
                if after:
                    func(*args, **kwargs)
                raise error
        return func(*args, **kwargs)

    def _forked(self, what: str, error: type[BaseException]) -> bool:
        """Whether this is the child; the parent waits for what that says."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            signal.alarm(_PATIENCE)  # whatever hangs ends, and is wrong
            gc.disable()  # it would copy memory
            self.here = what, error, writing
            return True
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().decode()
        os.waitpid(child, 0)
        self.errors += 1
        if said == _SURVIVED:
            self.survived.append(what)
        if said not in (_SAME, _SURVIVED):
            self.wrong.append(f"{what}: {said or 'the process ended'}")
        return False


_SAME, _SURVIVED = "same", "survived"
# Bytes that a pipe takes in any case.
_LONGEST = 4096
# Seconds, of which a child needs a hundredth.
_PATIENCE = 300


class _Functions(TorchFunctionMode):
    def __init__(self, count: Count) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ in ("__get__", "_set_grad_enabled"):  # an attribute, and a switch of torch: no operators
            return func(*args, **(kwargs or {}))
        return self.count.call(func, args, kwargs or {})


class _Operators(TorchDispatchMode):
    supports_higher_order_operators = True

    def __init__(self, count: Count) -> None:
        super().__init__()
        self.count = count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.count.call(func, args, kwargs or {})


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


def errors(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    x: Tensor,
    action: Action,
    *,
    functions: bool = True,
    operators: bool = True,
    step: int = 1,
) -> Count:
    """What comes of errors at calls of functions of torch, and of operators beneath them."""
    count = Count(step)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a child has none of the others, and would wait for them
    copy, follower = deepcopy((model, optimizer))
    before = fingerprint(copy, follower, x)
    gc.collect()
    gc.freeze()
    try:
        with ExitStack() as modes:
            if functions:
                modes.enter_context(_Functions(count))
            if operators:
                modes.enter_context(_Operators(count))
            action(copy, follower)
        said = _SURVIVED
    except BaseException as error:
        if count.here is None:
            raise
        said = _said(copy, follower, x, before, error, count.here[1])
    finally:
        gc.unfreeze()
        torch.set_num_threads(threads)
    if count.here is not None:
        os.write(count.here[2], said.encode()[:_LONGEST])
        os._exit(0)
    return count


def _said(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    x: Tensor,
    before: dict[str, Any],
    error: BaseException,
    injected: type[BaseException],
) -> str:
    """What a child has to say after an error."""
    if not isinstance(error, (injected, PermsolveError)):  # some say what it was that failed
        return f"{type(error).__name__}: {error}"
    try:
        now = fingerprint(model, optimizer, x)
    except Exception as failure:
        return f"the model fails: {type(failure).__name__}: {failure}"
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(changed[:6]) or _SAME
