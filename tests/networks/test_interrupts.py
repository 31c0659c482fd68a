"""Ctrl-C ends all that permute_ does, wherever it comes, and the model is as it was."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from permsolve import networks, solve
from permsolve.networks import applying
from permsolve.networks.calibration import calibrate
from permsolve.networks.interrupts import ctrl_c_waits
from permsolve.networks.ordering import Ordering
from permsolve.networks.verify import Reference
from permsolve.result import Result
from tests.networks.running import BRIEF

LONG: dict[str, Any] = {"solver": "random", "time_limit": 100.0, "workers": 1}
FAST: dict[str, Any] = {**BRIEF, "solver": "random"}
X = (torch.randn(4, 12),)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")


def press() -> None:
    """Press Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def listening() -> Iterator[None]:
    """Ctrl-C as it is in a terminal: it is ignored where the tests run in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def interrupted(model: nn.Module) -> Iterator[None]:
    """Ends by Ctrl-C, and leaves the model as it was."""
    before = deepcopy(model.state_dict())
    with pytest.raises(KeyboardInterrupt), listening():
        yield
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert not model._forward_pre_hooks


def mlp() -> nn.Sequential:
    """Three permutable axes."""
    torch.manual_seed(0)
    widths = ((12, 16), (16, 24), (24, 16), (16, 8))
    return nn.Sequential(*(part for pair in widths for part in (nn.Linear(*pair), nn.Tanh()))).eval()


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """Presses Ctrl-C in the middle of every search; the results of those that ended."""
    ended: list[Result] = []

    def cut_short(*args: Any, **kwargs: Any) -> Result:
        result = solve(*args, **kwargs | {"stop": lambda progress: press()})
        ended.append(result)
        return result

    monkeypatch.setattr("permsolve.networks.solving.solve", cut_short)
    return ended


def test_ctrl_c_ends_all_searches(searches: list[Result]) -> None:
    """Not only the one that it comes in."""
    model = mlp()
    with interrupted(model):
        networks.permute_(model, X, **LONG)
    (result,) = searches
    assert result.stop_reason == "interrupted"


def test_ctrl_c_ends_compression(searches: list[Result]) -> None:
    """Its permutation is the same one."""
    model = mlp()
    calibration = calibrate(model, [X[0]])
    with interrupted(model):
        networks.compress_(model, X, calibration=calibration, **LONG)
    assert len(searches) == 1


def test_ctrl_c_takes_back_what_no_thread_has_begun_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is running cannot be stopped, but the others are never begun."""
    model, begun, release = mlp(), threading.Event(), threading.Event()
    calls: list[int] = []

    def slow(*args: Any, **kwargs: Any) -> Result:
        calls.append(0)
        begun.set()
        release.wait(600.0)
        return solve(*args, **kwargs)

    def press_later() -> None:
        begun.wait(600.0)
        press()

    monkeypatch.setattr("permsolve.networks.solving.solve", slow)
    thread = threading.Thread(target=press_later)
    with ThreadPoolExecutor(1) as pool:
        thread.start()
        with interrupted(model):
            networks.permute_(model, X, executor=pool, **FAST)
        release.set()
    thread.join()
    assert len(calls) == 1


class Here(Executor):
    """Runs jobs at once, as a worker does that hears Ctrl-C itself."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run the job."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_a_worker_that_was_interrupted_ends_all(searches: list[Result]) -> None:
    """What it had found by then is no result."""
    model = mlp()
    with interrupted(model):
        networks.permute_(model, X, executor=Here(), **LONG)
    assert searches[0].stop_reason == "interrupted"


def test_ctrl_c_while_weights_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has moved then: neither a part of an axis, nor one of which nobody knows yet whether that pays."""
    moves: list[int] = []
    reordered, kept = applying._reordered, Ordering._kept_by_readers

    def pressed(*args: Any) -> None:
        reordered(*args)
        moves.append(0)
        if len(moves) == 4:
            press()

    with monkeypatch.context() as patch:
        patch.setattr(applying, "_reordered", pressed)
        model = mlp()
        with interrupted(model):
            networks.permute_(model, X, **FAST)
    assert len(moves) == 4

    calls: list[int] = []

    def counted(self: Ordering, name: str) -> float:
        calls.append(0)
        if len(calls) == 4:
            press()
        return kept(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Ordering, "_kept_by_readers", counted)
        with interrupted(model):
            networks.permute_(model, X, **FAST)


@pytest.mark.parametrize("gather", [pytest.param("never", marks=pytest.mark.slow), "allowed"])
def test_ctrl_c_during_verification_and_after(monkeypatch: pytest.MonkeyPatch, gather: str) -> None:
    """The report is not there yet: nothing could undo it later."""
    model = mlp()

    def pressed(*args: Any, **kwargs: Any) -> Any:
        press()
        raise AssertionError

    for place in ("permsolve.networks.permute.Report", "permsolve.networks.permute.output_orders"):
        with monkeypatch.context() as patch:
            patch.setattr(place, pressed)
            with interrupted(model):
                networks.permute_(model, X, gather=gather, **FAST)
    monkeypatch.setattr(Reference, "error", pressed)
    with interrupted(model):
        networks.permute_(model, X, gather=gather, **FAST)
    assert not hasattr(model[0], "input_gather")


def test_ctrl_c_waits_where_it_has_to() -> None:
    """For what is inside, nested or not; other threads, and other ways to hear it, are left alone."""
    done: list[str] = []

    def work() -> None:
        with ctrl_c_waits():
            with ctrl_c_waits():
                press()
                done.append("inner")
            done.append("outer")
        done.append("after")

    with pytest.raises(KeyboardInterrupt), listening():
        work()
    assert done == ["inner", "outer"]

    def other() -> None:
        with ctrl_c_waits():
            done.append("thread")

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ctrl_c_waits():
            press()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert done[2:] == ["thread"]
