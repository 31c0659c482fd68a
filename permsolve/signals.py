"""Signals that end a program: waiting for them, and being ended by them, at a moment where that does no harm."""

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType
from typing import Any

# Where an exception would be swallowed, or leave behind what crashes later: within imports and within the compiler.
_FOREIGN = ("importlib._bootstrap", "numba.", "llvmlite.")
_COMPILER = ("numba.", "llvmlite.")
# Seconds after which a signal that came there is looked at again, and which a kernel that is being compiled may take
# until it is given up with the process.
_AGAIN = 0.05
_PATIENCE = 3.0

_waiting = False  # whether the main thread is within signals_wait()


class Interrupter:
    """A handler of signals for programs: it ends what the main thread does by a KeyboardInterrupt.

    A search that is under way ends with the best that it has instead (:func:`permsolve.solve`). A signal that comes
    during an import or while kernels are compiled takes effect after it. A second Ctrl-C ends the process at once where
    an exception could not.

    Attributes
    ----------
    heard : list of int
        The signals that came.
    kept : bool
        Whether a search took the first one, so that there is something to be written.
    over : bool
        Whether all is done, so that nothing is left to be ended.
    """

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.kept = False
        self.over = False
        self._first: int | None = None
        self._since = 0.0
        self._pending = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, now or soon."""
        if self.over:
            return
        self.heard.append(number)
        self.watch(number)
        if number != signal.SIGINT and self.kept:
            return  # supervisors and terminals that go away say it twice: what was found is being written
        if not _within(frame, _FOREIGN):
            raise KeyboardInterrupt
        if self.heard.count(signal.SIGINT) > 1:
            self.leave()
        self._pending = True

    def watch(self, number: int) -> None:
        """See to it that a signal which waits does not do so for long."""
        if self._first is None:
            self._first, self._since = number, monotonic()
        self._look_later()

    def take(self, number: int) -> None:
        """Note a signal that ends a search."""
        self.heard.append(number)
        self.kept = True

    @property
    def exit_code(self) -> int | None:
        """What a shell says of a program that the first signal ended, None when there was none."""
        return 128 + self.heard[0] if self.heard else None

    def leave(self) -> None:
        """End the process, as it is."""
        with suppress(OSError):
            os.write(2, b"permsolve: error: interrupted: ended at once, nothing more was written\n")
        os._exit(128 + (self._first or signal.SIGINT))

    def _look_later(self) -> None:
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self._look)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)

    def _look(self, _: int, frame: FrameType | None) -> None:
        """Raise what could not be raised before; end the process when a kernel takes too long to compile."""
        if self.over or self.kept:
            return
        self._look_later()
        if self._pending and not _within(frame, _FOREIGN):
            self._pending = False
            raise KeyboardInterrupt
        compiling = any(_within(each, _COMPILER) for each in sys._current_frames().values())
        if compiling and monotonic() > self._since + _PATIENCE:
            self.leave()


@contextmanager
def interrupting(*, last: bool = False) -> Iterator[Interrupter]:
    """Have Ctrl-C, SIGTERM and SIGHUP end what is inside by a KeyboardInterrupt (:class:`Interrupter`).

    Those that are ignored (as after ``nohup``, or in the background of a script) or that the program handles itself are
    left alone, and so are all of them in threads other than the main one, which get none.

    Parameters
    ----------
    last : bool, default False
        Whether nothing but the end of the process follows: Ctrl-C does nothing any more then, where otherwise all
        handlers are those from before.
    """
    interrupter = Interrupter()
    if threading.current_thread() is not threading.main_thread():
        yield interrupter
        return
    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if hasattr(signal, "SIGHUP"):
        usual[signal.SIGHUP] = signal.SIG_DFL
    taken = {number: handler for number, handler in usual.items() if signal.getsignal(number) == handler}
    alarm = signal.getsignal(signal.SIGALRM) if hasattr(signal, "SIGALRM") else None
    try:
        for number in taken:
            signal.signal(number, interrupter)
        yield interrupter
    finally:
        for number, handler in taken.items():
            signal.signal(number, signal.SIG_IGN if last and number == signal.SIGINT else handler)
        if alarm is not None and signal.getsignal(signal.SIGALRM) != alarm:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, alarm)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Let Ctrl-C, and other signals that somebody handles, take effect at the end only; for what takes little time.

    What is inside is done whole then. A second Ctrl-C ends a program that is ended by an :class:`Interrupter` at once.
    """
    global _waiting
    if threading.current_thread() is not threading.main_thread() or _waiting:
        yield  # other threads get no signals, and within another one it is that which waits
        return
    signals = map(int, signal.valid_signals())
    handlers = {number: handler for number in signals if callable(handler := signal.getsignal(number))}
    if isinstance(getattr(handlers.get(signal.SIGALRM), "__self__", None), Interrupter):
        del handlers[signal.SIGALRM]  # by which one looks how long this takes
    came: Counter[int] = Counter()

    def note(number: int, frame: FrameType | None) -> None:
        came[number] += 1
        handler = handlers[number]
        if isinstance(handler, Interrupter) and not handler.over:
            handler.watch(number)
            if number == signal.SIGINT and came[number] > 1:
                handler.leave()

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    try:
        _waiting = True
        for number in handlers:
            signal.signal(number, note)
        yield
    finally:
        _waiting = False
        try:
            restore()
        finally:
            restore()  # a signal of which the handler is back may have ended the first time
        for heard in came:
            handlers[heard](heard, None)


def _within(frame: FrameType | None, modules: tuple[str, ...]) -> bool:
    """Whether code of these modules runs, or a destructor, from which no exception comes."""
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if name.startswith(modules) or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
