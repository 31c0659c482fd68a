"""Nothing of a trace or of a verification survives in what a model reaches."""

import copy
import functools
import gc
from collections import ChainMap
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass, field
from queue import Queue
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from permsolve import networks
from permsolve.stopping import MaxIterations


def table(length: int) -> Tensor:
    return torch.arange(length, dtype=torch.float32)[:, None] / length


@functools.lru_cache
def remembered(length: int) -> Tensor:
    return table(length)


@functools.cache
def remembered_in_a_dict(length: int) -> dict[str, Tensor]:
    return {"table": table(length)}


TABLES: dict[int, Tensor] = {}
ONE: Tensor | None = None
LENGTH = 0


def of_globals(length: int) -> Tensor:
    global ONE, LENGTH
    if length > LENGTH:
        ONE, LENGTH = table(length), length
    assert ONE is not None
    return ONE


def of_default(length: int, known: dict[int, Tensor] = {}) -> Tensor:  # noqa: B006
    if length not in known:
        known[length] = table(length)
    return known[length]


CONTEXT: ContextVar[Tensor | None] = ContextVar("table", default=None)


def of_context_variable(length: int) -> Tensor:
    known = CONTEXT.get()
    if known is None:
        known = table(length)
        CONTEXT.set(known)
    return known


def closure() -> Callable[[int], Tensor]:
    kept: Tensor | None = None

    def of_closure(length: int) -> Tensor:
        nonlocal kept
        if kept is None:
            kept = table(length)
        return kept

    return of_closure


@dataclass
class Helper:
    known: list[Tensor] = field(default_factory=list)


class Slotted:
    __slots__ = ("table",)
    table: Tensor


class Model(nn.Module):
    shared: ClassVar[Tensor | None] = None
    of_closure = staticmethod(closure())

    def __init__(self, *ways: str) -> None:
        super().__init__()
        self.ways = ways
        self.a, self.b = nn.Linear(16, 32), nn.Linear(32, 8)
        self.cache: dict[str, Any] = {}
        self.helper, self.slotted, self.space = Helper(), Slotted(), SimpleNamespace(table=None)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.ones(())
        for way in self.ways:
            scale = scale + getattr(self, way)(len(x))
        return self.b(torch.relu(self.a(x)) * scale)  # type: ignore[no-any-return]

    def attribute(self, length: int) -> Tensor:
        if not hasattr(self, "_table"):
            self._table = table(length)
        return self._table

    def late_buffer(self, length: int) -> Tensor:
        if "late" not in self._buffers:
            self.register_buffer("late", table(length), persistent=False)
        return self.get_buffer("late")

    def in_dict(self, length: int) -> Tensor:
        return self.cache.setdefault("table", table(length))  # type: ignore[no-any-return]

    def helper_object(self, length: int) -> Tensor:
        if not self.helper.known:
            self.helper.known.append(table(length))
        return self.helper.known[0]

    def slot(self, length: int) -> Tensor:
        if not hasattr(self.slotted, "table"):
            self.slotted.table = table(length)
        return self.slotted.table

    def namespace(self, length: int) -> Tensor:
        if self.space.table is None:
            self.space.table = table(length)
        return self.space.table  # type: ignore[no-any-return]

    def of_class(self, length: int) -> Tensor:
        if Model.shared is None:
            Model.shared = table(length)
        return Model.shared

    def of_function(self, length: int) -> Tensor:
        if not hasattr(table, "known"):
            table.known = table(length)  # type: ignore[attr-defined]
        return table.known  # type: ignore[attr-defined, no-any-return]

    def of_module(self, length: int) -> Tensor:
        if length not in TABLES:
            TABLES[length] = table(length)
        return TABLES[length]

    def lru_cache(self, length: int) -> Tensor:
        return remembered(length)

    def unlimited_cache(self, length: int) -> Tensor:
        return remembered_in_a_dict(length)["table"]

    def globals(self, length: int) -> Tensor:
        return of_globals(length)

    def default(self, length: int) -> Tensor:
        return of_default(length)

    def context(self, length: int) -> Tensor:
        return of_context_variable(length)

    def in_closure(self, length: int) -> Tensor:
        return self.of_closure(length)


WAYS = [
    "attribute", "late_buffer", "in_dict", "helper_object", "slot", "namespace", "of_class", "of_function", "of_module",
    "lru_cache", "unlimited_cache", "globals", "default", "context", "in_closure",
]  # fmt: skip


def new(*ways: str) -> tuple[Model, Callable[[Tensor], Tensor]]:
    torch.manual_seed(0)
    model = Model(*ways).eval()
    a, b = copy.deepcopy(model.a), copy.deepcopy(model.b)
    return model, lambda x: b(torch.relu(a(x)) * (1 + len(ways) * table(len(x))))


def check_caches(ways: tuple[str, ...], function: str) -> None:
    model, expected = new(*ways)
    x = torch.randn(12, 16)
    before = set(vars(model))
    if function == "trace":
        networks.trace(model, (x,))
    else:
        report = networks.permute_(model, (x,), solver="local-search", stop=MaxIterations(20), workers=1)
        assert report.groups
    assert set(vars(model)) == before
    assert (model.cache, model.helper.known, TABLES, ONE, LENGTH) == ({}, [], {}, None, 0)
    assert remembered.cache_info().currsize == remembered_in_a_dict.cache_info().currsize == 0
    other = Model(*ways).eval()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for one in (model, other):
            found = one(x)
            assert (type(found), found.dtype) == (Tensor, torch.float32)
            torch.testing.assert_close(found, expected(x), rtol=1e-5, atol=1e-4)
    forget()


@pytest.mark.parametrize("function", ["trace", "permute_"])
def test_caches_of_all_kinds_hold_nothing_of_a_trace_or_of_a_verification(function: str) -> None:
    check_caches(tuple(WAYS), function)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("function", ["trace", "permute_"])
def test_caches_hold_nothing_of_a_trace_or_of_a_verification(way: str, function: str) -> None:
    check_caches((way,), function)


def forget() -> None:
    """What the calls of the test itself left."""
    global ONE, LENGTH
    remembered.cache_clear()
    remembered_in_a_dict.cache_clear()
    TABLES.clear()
    ONE, LENGTH, Model.shared = None, 0, None
    CONTEXT.set(None)
    assert of_default.__defaults__ is not None
    of_default.__defaults__[0].clear()
    vars(table).clear()
    Model.of_closure = staticmethod(closure())


def test_no_tensor_of_a_trace_is_alive_afterwards() -> None:
    gc.collect()
    before = sum(type(one) is FakeTensor for one in gc.get_objects())
    model, _ = new("helper_object")
    networks.trace(model, (torch.randn(12, 16),))
    gc.collect()
    assert sum(type(one) is FakeTensor for one in gc.get_objects()) <= before


def test_what_was_in_a_cache_before_stays() -> None:
    model, _ = new("lru_cache")
    x = torch.randn(12, 16)
    own = remembered(12)
    networks.trace(model, (x,))
    assert remembered(12) is own
    forget()


def keeper(into: list[Tensor]) -> Generator[None, Tensor, None]:
    while True:
        into.append((yield))


class Handing(nn.Module):
    """Hands its hidden tensor to methods of containers, which are written in C, and counts in tensors in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 8)
        self.keep = SEEN.append
        self.counting, self.own = False, torch.zeros(1)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        if self.counting:
            for count in (COUNT, self.own, self.get_buffer("calls")):
                count.add_(1)
        hidden = torch.relu(self.a(x))
        self.keep(hidden)
        WAITING.put(hidden)
        SET("hidden", hidden)
        SENDING.send(hidden)
        return self.b(hidden)  # type: ignore[no-any-return]


COUNT = torch.zeros(1)
SEEN: list[Tensor] = []
WAITING: Queue[Tensor] = Queue()
CHAINED: ChainMap[str, Tensor] = ChainMap({})
SET = CHAINED.maps[0].__setitem__
SENT: list[Tensor] = []
SENDING = keeper(SENT)
next(SENDING)


def test_containers_of_all_kinds_and_shared_tensors_are_as_they_were() -> None:
    model, x = Handing().eval(), torch.randn(3, 16)
    brief: dict[str, Any] = {"solver": "local-search", "stop": MaxIterations(20), "workers": 1}

    def left() -> tuple[int, ...]:
        return len(SEEN), WAITING.qsize(), len(CHAINED), len(SENT)

    spec = networks.trace(model, (x,))
    assert left() == (0, 0, 0, 0)
    model.counting = True  # which cannot be traced
    report = networks.permute_(model, (x,), spec=spec, **brief)
    assert report.max_relative_error is not None
    networks.calibrate(model, [x, x])
    networks.compress_(model, (x,), calibration=[x], recipe=networks.Recipe(saliency="magnitude", permute=False))
    assert left() == (0, 0, 0, 0)
    assert [float(one) for one in (COUNT, model.own, model.get_buffer("calls"))] == [0.0, 0.0, 0.0]
