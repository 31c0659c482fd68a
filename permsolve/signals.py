"""Signals that end a program: waiting for them, and being ended by them, at a moment where that does no harm."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

# Where an exception would be swallowed, or leave behind what crashes later: within imports and within the compiler.
_FOREIGN = ("importlib._bootstrap", "numba.", "llvmlite.")
# Seconds after which a signal that came there is looked at again.
_AGAIN = 0.02


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

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, now or soon."""
        if self.over:
            return
        self.heard.append(number)
        if number != signal.SIGINT and self.kept:
            return  # supervisors and terminals that go away say it twice: what was found is being written
        self._raise(frame)

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
            os.write(2, b"permsolve: interrupted twice: ended at once\n")
        os._exit(128 + self.heard[0])

    def _raise(self, frame: FrameType | None) -> None:
        if self.over:
            return
        if not _within_foreign(frame):
            raise KeyboardInterrupt
        if self.heard.count(signal.SIGINT) > 1:
            self.leave()
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, lambda _, later: self._raise(later))
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)


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
    if threading.current_thread() is not threading.main_thread():
        yield  # other threads get no signals
        return
    signals = map(int, signal.valid_signals())
    handlers = {number: handler for number in signals if callable(handler := signal.getsignal(number))}
    came: Counter[int] = Counter()

    def note(number: int, frame: FrameType | None) -> None:
        came[number] += 1
        handler = handlers[number]
        if number == signal.SIGINT and came[number] > 1 and isinstance(handler, Interrupter):
            handler.heard.append(number)
            handler.leave()

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    try:
        for number in handlers:
            signal.signal(number, note)
        yield
    finally:
        try:
            restore()
        finally:
            restore()  # a signal of which the handler is back may have ended the first time
        for heard in came:
            handlers[heard](heard, None)


def _within_foreign(frame: FrameType | None) -> bool:
    """Whether code runs that an exception would break, or that would lose it."""
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if name.startswith(_FOREIGN) or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
