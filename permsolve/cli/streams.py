"""Standard streams that are closed, go away, are full, or cannot show every character."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Steady(io.RawIOBase):
    """A stream whose reader may go away, or whose disk may be full, without that being an error."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._terminal = os.isatty(handle)

    def fileno(self) -> int:
        """That of the stream."""
        return self._handle

    def isatty(self) -> bool:
        """Whether it is a terminal, or was one."""
        return self._terminal

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, content: Any) -> int:
        """Write what can be written."""
        left = memoryview(content).cast("B")
        size = len(left)
        with suppress(OSError):
            while left:
                left = left[os.write(self._handle, left) :]
        return size


def fill_standard_handles() -> None:
    """Open nothing in the place of standard streams that the shell closed (`2>&-`).

    The next file that is opened would take the place, and get what is written to the stream.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)


@contextmanager
def steady_streams() -> Iterator[None]:
    """Let nothing that happens to stderr, or to a terminal, change what a command does, and no character fail.

    What goes wrong is said by the exit code, which is all that a script has when stderr is full. A file or a pipe that
    stdout is, on the other hand, holds results: a full disk is an error there.
    """
    kept = sys.stdout, sys.stderr
    try:
        sys.stdout, sys.stderr = _steady(sys.stdout, always=False), _steady(sys.stderr, always=True)
        yield
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            discard_stdout()
        sys.stdout, sys.stderr = kept


def _steady(stream: Any, *, always: bool) -> Any:
    """A stream that takes every character, and does not fail, or only where it is no terminal."""
    if stream is None:  # closed by the shell: `>&-`
        return open(os.devnull, "w", encoding="utf-8")  # lives as long as the command
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="backslashreplace")
    try:
        handle = stream.fileno()
    except OSError:
        return stream  # in memory
    if not (always or stream.isatty()):
        return stream
    with suppress(OSError):
        stream.flush()
    raw = io.BufferedWriter(_Steady(handle))
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=True, write_through=always)


def discard_stdout() -> None:
    """After the reader of stdout went away (`| head`): what is buffered must not raise again when Python exits."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
