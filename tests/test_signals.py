"""Signals that end a program, at a moment where that does no harm."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from permsolve.signals import interrupting, signals_wait

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """The handlers that Python begins with, whatever the parent of the tests ignores."""
    before = {number: signal.getsignal(number) for number in ENDING}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in ENDING[1:]:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    """To this process."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_by_an_exception(number: signal.Signals) -> None:
    """It says which it was, and all handlers are back afterwards."""
    before = {each: signal.getsignal(each) for each in ENDING}
    with interrupting() as interrupter, pytest.raises(KeyboardInterrupt):
        send(number)
    assert interrupter.exit_code == 128 + number
    assert {each: signal.getsignal(each) for each in ENDING} == before


@pytest.mark.parametrize("number", ENDING)
def test_what_is_ignored_stays_ignored(number: signal.Signals) -> None:
    """As after nohup, or in the background of a script."""
    signal.signal(number, signal.SIG_IGN)
    with interrupting() as interrupter:
        send(number)
        assert signal.getsignal(number) is signal.SIG_IGN
    assert interrupter.exit_code is None


def test_the_end_of_a_program_is_not_interrupted() -> None:
    """Python's end prints a traceback for a Ctrl-C: it does nothing then."""
    with interrupting(last=True) as interrupter:
        interrupter.over = True
        send(signal.SIGINT)
    send(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_an_import_is_not_cut_in_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception comes when the module is loaded, or soon after it."""
    (tmp_path / "interrupted_module.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nloaded = [number for number in range(10_000)]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def load() -> None:
        import interrupted_module  # type: ignore[import-not-found]

        steps.append(len(interrupted_module.loaded))
        signal.pause()  # until the signal is looked at again

    steps: list[int] = []
    with interrupting() as interrupter, pytest.raises(KeyboardInterrupt):
        load()
    assert steps in ([10_000], [])
    assert len(sys.modules["interrupted_module"].loaded) == 10_000
    assert interrupter.heard == [signal.SIGINT]


@pytest.mark.parametrize("number", ENDING)
def test_signals_wait_for_what_is_done_whole(number: signal.Signals) -> None:
    """Each comes once it is done, also when an exception ends it."""
    steps = []

    def work() -> None:
        with signals_wait():
            send(number)
            steps.append("whole")

    def failing_work() -> None:
        with signals_wait():
            send(number)
            raise ValueError("of the work")

    with interrupting() as interrupter:
        for each in (work, failing_work):
            with pytest.raises(KeyboardInterrupt):
                each()
    assert steps == ["whole"]
    assert interrupter.heard == [number, number]


def test_repeated_signals_do_not_lose_what_a_search_found() -> None:
    """A terminal that goes away says it twice; only a second Ctrl-C is meant seriously."""
    with interrupting() as interrupter:
        interrupter.take(signal.SIGHUP)
        send(signal.SIGHUP)
        send(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert interrupter.exit_code == 128 + signal.SIGHUP
