"""All or nothing: changes of models that are undone, the last one first, unless all of them come to their end.

Every function that changes a model in place does so within a :func:`transaction` (:func:`all_or_nothing`). What may
change without a tensor being written to (classes, parameters, buffers and hooks of modules and their order, gradients)
is noted at the beginning, which takes no memory to speak of. Each write to a tensor is noted before it is made: the old
entries are kept while the write is in flight, and afterwards only where nothing else could bring them back, as the
inverse of a permutation can.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

from torch import Tensor, nn

from permsolve.networks.interrupts import ctrl_c_waits
from permsolve.networks.writing import writing

P = ParamSpec("P")
R = TypeVar("R")
Change = Callable[[Tensor], Tensor]

# What a module keeps its parts in.
_CONTAINERS = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict | set))


class Transaction:
    """Notes changes, so that they can be undone; made by :func:`transaction`."""

    def __init__(self, undo: "list[Callable[[], None]] | None" = None) -> None:
        self._undo = [] if undo is None else undo
        self._begin = len(self._undo)

    def keep(self, model: nn.Module) -> None:
        """Note what a model is made of, without the entries of its tensors."""
        self._undo.append(_Structure(model).restore)

    def write(self, tensor: Tensor, change: Change, back: Change | None = None) -> None:
        """Give a tensor other entries where it stands, and note how to undo it.

        Parameters
        ----------
        tensor : Tensor
            What :func:`permsolve.networks.writing.check_writable` takes, or a part of it.
        change : callable
            From the entries (a copy) to the new ones.
        back : callable, optional
            From the new ones to the old ones, bit for bit. Without it the old ones are kept.
        """
        with writing(tensor):
            old = tensor.clone()
            note = _Write(tensor, old)
            self._undo.append(note.undo)
            tensor.copy_(change(old))
        if back is not None:
            note.how = back  # the entries are all there now

    def keep_entries(self, tensor: Tensor) -> None:
        """Note the entries of a tensor, for what others will write to it."""
        with writing(tensor):
            self._undo.append(_Write(tensor, tensor.clone()).undo)

    def keep_memory(self, tensor: Tensor) -> None:
        """Note where the entries of a tensor lie, for what gives it other memory and leaves this as it is."""
        with writing(tensor):
            memory = tensor.detach()

        def restore() -> None:
            with writing(tensor):
                tensor.set_(memory)  # type: ignore[call-overload]

        self._undo.append(restore)

    def when_undone(self, action: Callable[[], None]) -> None:
        """Have something done after all that follows is undone."""
        self._undo.append(action)

    def undo(self) -> None:
        """Undo what was noted since this began. After an error the rest stays noted, what failed included."""
        with ctrl_c_waits():
            while len(self._undo) > self._begin:
                self._undo[-1]()
                self._undo.pop()

    def undone(self) -> list[Exception]:
        """Undo what was noted since this began; errors of what cannot be undone, when all else is. Signals wait."""
        errors: list[Exception] = []
        with ctrl_c_waits():
            while len(self._undo) > self._begin:
                try:
                    self._undo[-1]()
                except Exception as error:  # of torch, when memory is full: the others are still to be undone
                    errors.append(error)
                self._undo.pop()
        return errors


_current: ContextVar[Transaction | None] = ContextVar("permsolve_transaction", default=None)


@contextmanager
def transaction(model: nn.Module | None = None) -> Iterator[Transaction]:
    """Undo what is noted inside when anything ends the block early: an error, Ctrl-C.

    A block within another one is a part of that: when the inner one ends early, its changes are undone; when it comes
    to its end, they are undone with those of the outer one.

    Parameters
    ----------
    model : Module, optional
        What it is made of is noted at the beginning.
    """
    outer = _current.get()
    changes = Transaction(None if outer is None else outer._undo)
    try:
        _current.set(changes)
        if model is not None:
            changes.keep(model)
        yield changes
    except BaseException as error:
        for failure in changes.undone():
            error.add_note(f"a change of the model could not be undone ({type(failure).__name__}: {failure})")
        raise
    finally:
        _current.set(outer)


def all_or_nothing(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function that changes its first argument, a model, do so in one :func:`transaction`.

    What it leaves in the model that is no change of a tensor is taken out of it when it ends early: the hooks of a
    calibration, say, or the training mode of a trial.
    """

    @wraps(function)
    def whole(*args: P.args, **kwargs: P.kwargs) -> R:
        model = args[0] if args else kwargs.get("model")
        with transaction(model if isinstance(model, nn.Module) else None):
            return function(*args, **kwargs)

    return whole


@contextmanager
def apart() -> Iterator[None]:
    """Let transactions inside be no part of the present one: those of copies that nobody will miss."""
    outer = _current.get()
    try:
        _current.set(None)
        yield
    finally:
        _current.set(outer)


class _Write:
    """One write to a tensor.

    Attributes
    ----------
    how : Tensor or callable
        The old entries, whether or not the new ones are there; or what makes them of the new ones.
    """

    def __init__(self, tensor: Tensor, how: Tensor | Change) -> None:
        self.tensor = tensor
        self.how = how

    def undo(self) -> None:
        """Put the old entries back, also where that was begun before."""
        with writing(self.tensor):
            if not isinstance(self.how, Tensor):
                self.how = self.how(self.tensor)
            self.tensor.copy_(self.how)


class _Structure:
    """What a model is made of: all but the entries of tensors."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = [(module, type(module), dict(vars(module)), _contents(module)) for module in model.modules()]
        self._parameters = [
            (parameter, parameter.requires_grad, parameter.grad)
            for parameter in model.parameters()
            if parameter.is_leaf
        ]

    def restore(self) -> None:
        """Make the model of the same again, in the same order."""
        for module, kind, attributes, contents in self._modules:
            if type(module) is not kind:
                module.__class__ = kind
            if not _same(vars(module), attributes):
                vars(module).clear()
                vars(module).update(attributes)
            for name, content in contents.items():
                if not _same(vars(module)[name], content):
                    vars(module)[name].clear()
                    vars(module)[name].update(content)
        for parameter, requires_grad, grad in self._parameters:
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)
            if parameter.grad is not grad:
                parameter.grad = grad


def _contents(module: nn.Module) -> dict[str, dict[str, object] | set[str]]:
    return {name: vars(module)[name].copy() for name in _CONTAINERS if isinstance(vars(module).get(name), dict | set)}


def _same(one: dict[str, object] | set[str], other: dict[str, object] | set[str]) -> bool:
    """Whether two dicts have the same objects in the same order, or two sets the same names."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = zip(one.items(), other.items(), strict=False)
        return len(one) == len(other) and all(a == b and x is y for (a, x), (b, y) in pairs)
    return one == other
