"""Leave no trace of a call: what a model refers to is put back as it was.

Models keep tables that they make at their first call: as attributes, in dicts of a module, under
``functools.lru_cache``, in helper objects, as buffers that are registered late. What they make while they are traced
holds no values, and what they make while a copy runs in float64 has another type. So all Python state that a model
reaches is noted before such a call, and restored after it: shallow copies of containers and attributes. Entries of
tensors are noted where a model runs in earnest, and could write to what it shares with others.
"""

import contextvars
import functools
import gc
import logging
import queue
import sys
import threading
import weakref
from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
)  # fmt: skip
from typing import Any

import torch
from torch import nn

from permsolve.networks.objects import ATOMS, MISSING, attributes_of, holds_tensor, in_slot, slots_of

# Whose objects and functions keep nothing of a model.
_FOREIGN = frozenset(sys.stdlib_module_names) | {
    "torch", "numpy", "numba", "permsolve", "permsolve_solvers",
    # What these, and the programs that call them, are built on.
    "click", "filelock", "fsspec", "hypothesis", "jinja2", "llvmlite", "ml_dtypes", "mpmath", "networkx", "ortools",
    "pluggy", "pydantic", "pydantic_core", "pytest", "_pytest", "rich", "safetensors", "scipy", "sympy", "typer",
    "typing_extensions",
}  # fmt: skip
# Of the standard library, what somebody may keep a table in.
_HOLDERS = (
    SimpleNamespace, threading.local, weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet, UserDict,
    UserList, ChainMap, queue.Queue,
)  # fmt: skip
_LOGGER = logging.getLogger(__name__)
_DESCRIPTORS = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset"),
    functools.cached_property: ("func",),
    functools.partial: ("func", "args", "keywords"),
    functools.partialmethod: ("func", "args", "keywords"),
    MethodType: ("__func__", "__self__"),
    BuiltinFunctionType: ("__self__",),
    MethodWrapperType: ("__self__",),
}
_CLASS_MACHINERY = frozenset({"__dict__", "__weakref__", "__doc__", "__abstractmethods__", "_abc_impl"})
# What tools note about a class.
_CLASS_NOTES = frozenset({"__annotations__", "__dataclass_fields__", "__dataclass_params__", "__init_subclass__"})
_CACHED = functools._lru_cache_wrapper
# Models share what they refer to: one call of this kind at a time.
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def kept(model: nn.Module, *, advance: bool = False, entries: bool = False) -> Iterator[None]:
    """Put back at the end all Python state that a model reaches: attributes, containers, globals, closures, caches.

    With ``advance`` what its own objects hold may go on changing: only what it shares with other models is put back.
    With ``entries`` tensors that are written to are put back, too: all but parameters.
    """
    with _ONE_AT_A_TIME:
        state, context = _State(model, advance, entries), contextvars.copy_context()
        try:
            yield
        finally:
            state.restore()
            _restore_context(context)


class _State:
    """All that a model reaches, as it is now."""

    def __init__(self, model: nn.Module, advance: bool, entries: bool) -> None:
        self._restorers: list[Callable[[], None]] = []
        self._seen: dict[int, object] = {}  # which also keeps them alive, so that no number is used twice
        self._globals: dict[int, tuple[dict[str, Any], dict[str, object]]] = {}  # scopes, and their variables
        self._used: set[str] = set()  # names that code looks up anywhere
        self._unused: dict[str, list[object]] = {}  # methods that no code names so far
        self._entries = entries
        self._buffers = {id(buffer) for buffer in model.buffers()}
        self._passing = advance  # the model's own objects, of which nothing is noted
        self._shared: list[object] = []
        self._open: list[object] = [model]
        self._use(("forward",))
        while self._open:
            self._visit(self._open.pop())
        self._passing, self._open = False, self._shared
        while self._open:
            self._visit(self._open.pop())

    def restore(self) -> None:
        """Put all of it back."""
        for restorer in self._restorers:
            try:
                restorer()
            except (AttributeError, TypeError, ValueError) as error:  # an object that lets nobody set what it holds
                _LOGGER.warning("what a call of the model left behind could not be put back: %s", error)
        for scope, variables in self._globals.values():
            for name, before in variables.items():
                now = scope.get(name, MISSING)
                if now is not before and not _is_code(now):
                    if before is MISSING:
                        del scope[name]
                    else:
                        scope[name] = before

    def _visit(self, one: object) -> None:
        if isinstance(one, str):
            self._use((one,))  # a method may be chosen by its name
        if isinstance(one, ATOMS) or id(one) in self._seen:
            return
        if self._passing and isinstance(one, (FunctionType, type, CellType, _CACHED, *_DESCRIPTORS)):
            self._shared.append(one)
            return
        self._seen[id(one)] = one
        if isinstance(one, dict):
            self._mapping(one)
        elif isinstance(one, list | set | deque):
            self._collection(one)
        elif isinstance(one, tuple | frozenset):
            self._open += one
        elif isinstance(one, FunctionType):
            self._function(one)
        elif isinstance(one, _CACHED):
            self._cache(one)
        elif isinstance(one, CellType):
            self._cell(one)
        elif isinstance(one, type):
            self._class(one)
        elif isinstance(one, torch.Tensor):
            if type(one) in (torch.Tensor, nn.Parameter):
                self._open.append(vars(one))
            if self._entries and (type(one) is torch.Tensor or id(one) in self._buffers):
                self._tensor(one)
        elif isinstance(one, MappingProxyType):
            self._open += one.values()
        elif isinstance(one, GeneratorType):
            self._open += one.gi_frame.f_locals.values() if one.gi_frame is not None else ()
        elif isinstance(one, weakref.ref):
            self._open.append(one())
        elif isinstance(one, tuple(_DESCRIPTORS)):
            self._open += [getattr(one, name) for name in _DESCRIPTORS[_descriptor(one)]]
        elif not isinstance(one, ModuleType):
            self._instance(one)

    def _note(self, restorer: Callable[[], None]) -> None:
        if not self._passing:
            self._restorers.append(restorer)

    def _mapping(self, one: dict[Any, Any]) -> None:
        kind = OrderedDict if isinstance(one, OrderedDict) else dict  # past what its own class does
        before = list(kind.items(one))
        self._open += [value for _, value in before]

        def restore() -> None:
            if not _same(list(kind.items(one)), before):
                kind.clear(one)
                for key, value in before:
                    kind.__setitem__(one, key, value)

        self._note(restore)

    def _collection(self, one: "list[Any] | set[Any] | deque[Any]") -> None:
        before = list(one)
        self._open += before

        def restore() -> None:
            if len(one) != len(before) or any(a is not b for a, b in zip(one, before, strict=True)):
                one.clear()
                if isinstance(one, set):
                    one.update(before)
                else:
                    one.extend(before)

        self._note(restore)

    def _tensor(self, one: torch.Tensor) -> None:
        if one.is_meta or one.layout != torch.strided:
            return
        inference = one.is_inference()  # where torch does not count the writes
        version = None if inference else one._version
        with torch.inference_mode(inference), torch.no_grad():
            before = one.clone()

        def restore() -> None:
            if version is None or one._version != version:
                with torch.inference_mode(inference), torch.no_grad():
                    one.copy_(before)

        self._note(restore)

    def _function(self, one: FunctionType) -> None:
        if foreign(one.__module__):
            return
        self._open += [vars(one), one.__defaults__, one.__kwdefaults__, *(one.__closure__ or ())]
        names = set(_names(one.__code__))
        self._use(names)
        self._variables(one.__globals__, names)
        for name in names:
            value = one.__globals__.get(name, sys.modules.get(name))
            if isinstance(value, ModuleType) and not foreign(value.__name__):
                self._variables(vars(value), names)

    def _use(self, names: Iterable[str]) -> None:
        for name in names:
            self._used.add(name)
            self._open += self._unused.pop(name, ())

    def _variables(self, scope: dict[str, Any], names: set[str]) -> None:
        """Global variables, which may not be there yet."""
        _, known = self._globals.setdefault(id(scope), (scope, {}))
        for name in names - known.keys():
            value = known[name] = scope.get(name, MISSING)
            if value is not MISSING:
                self._open.append(value)

    def _cache(self, one: Any) -> None:
        """A function under lru_cache: what it remembered cannot be told apart later, so that it forgets all of it."""
        known = {id(part): part for part in _remembered(one)}
        self._open += [one.__wrapped__, vars(one), *known.values()]

        def restore() -> None:
            if any(id(part) not in known and holds_tensor(part) for part in _remembered(one)):
                one.cache_clear()

        self._note(restore)

    def _cell(self, one: CellType) -> None:
        before = _contents(one)
        if before is not MISSING:
            self._open.append(before)

        def restore() -> None:
            if _contents(one) is not before:
                if before is MISSING:
                    del one.cell_contents
                else:
                    one.cell_contents = before

        self._note(restore)

    def _class(self, one: type) -> None:
        if foreign(one.__module__):
            return
        before = {name: value for name, value in vars(one).items() if name not in _CLASS_MACHINERY}
        self._open += one.__bases__
        for name, value in before.items():
            if name in _CLASS_NOTES:
                continue
            if _is_method(value) and name not in self._used and not name.startswith("__"):
                self._unused.setdefault(name, []).append(value)
            else:
                self._open.append(value)

        def restore() -> None:
            for name, value in list(vars(one).items()):
                if name not in before and name not in _CLASS_MACHINERY and not _is_code(value):
                    type.__delattr__(one, name)
            for name, value in before.items():
                if vars(one).get(name, MISSING) is not value:
                    type.__setattr__(one, name, value)

        self._note(restore)

    def _instance(self, one: object) -> None:
        kind = type(one)
        if foreign(kind.__module__) and not isinstance(one, (nn.Module, *_HOLDERS)):
            return
        self._open.append(kind)
        if (attributes := attributes_of(one)) is not None:
            self._open.append(attributes)
        for base in kind.__mro__:
            if not foreign(base.__module__):
                for slot in slots_of(base):
                    self._slot(one, slot)

    def _slot(self, one: object, slot: MemberDescriptorType) -> None:
        before = in_slot(one, slot)
        if before is not MISSING:
            self._open.append(before)

        def restore() -> None:
            if in_slot(one, slot) is not before:
                if before is MISSING:
                    slot.__delete__(one)
                else:
                    slot.__set__(one, before)

        self._note(restore)


def _restore_context(before: contextvars.Context) -> None:
    """Take tensors out of context variables; one that had no value gets its default, since none can be taken away."""
    for variable, value in contextvars.copy_context().items():
        known = before.get(variable, MISSING)
        if value is not known and holds_tensor(value):
            variable.set(_default(variable) if known is MISSING else known)


def _default(variable: "contextvars.ContextVar[object]") -> object:
    try:
        return contextvars.Context().run(variable.get)
    except LookupError:
        return None


def foreign(module: str | None) -> bool:
    """Whether objects and functions of a module of Python keep nothing of a model."""
    return (module or "").partition(".")[0] in _FOREIGN


def _descriptor(one: object) -> type:
    return next(kind for kind in _DESCRIPTORS if isinstance(one, kind))


def _is_method(value: object) -> bool:
    return isinstance(value, (FunctionType, *_DESCRIPTORS))


def _is_code(value: object) -> bool:
    """What an import that waits for its first use brings, which may stay."""
    return isinstance(value, ModuleType | FunctionType | type)


def _names(code: CodeType) -> Iterator[str]:
    """Names that a function, and those inside it, look up anywhere, or hold as text."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)
        elif isinstance(inner, str):
            yield inner


def _contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return MISSING


def _remembered(cached: Any) -> list[object]:
    """Arguments and results that a function under lru_cache holds."""
    found: list[object] = []
    own = {id(cached.__wrapped__), id(vars(cached)), id(type(cached))}
    for part in gc.get_referents(cached):
        if id(part) not in own:
            found += part.values() if type(part) is dict else [part]
    return found


def _same(now: list[tuple[Any, Any]], before: list[tuple[Any, Any]]) -> bool:
    """Whether a mapping has the same keys with the very same values, in the same order."""
    return len(now) == len(before) and all(
        key is other and value is one for (key, value), (other, one) in zip(now, before, strict=True)
    )
