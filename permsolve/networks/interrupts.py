"""Changes of a model that Ctrl-C does not cut in half."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Let Ctrl-C, and other signals that somebody handles, take effect at the end only; for what takes little time.

    What is inside is done whole then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # other threads get no signals
        return
    signals = map(int, signal.valid_signals())
    handlers = {number: handler for number in signals if callable(handler := signal.getsignal(number))}
    came: dict[int, FrameType | None] = {}

    def note(number: int, frame: FrameType | None) -> None:
        came.setdefault(number, frame)

    try:
        for number in handlers:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for heard, frame in came.items():
            handlers[heard](heard, frame)
