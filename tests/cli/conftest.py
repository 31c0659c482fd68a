"""Running the command line in process."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import permsolve.bound
import permsolve.lossless  # noqa: F401  (a module that is first imported while a test replaces solve keeps what it got)
from permsolve.cli import main


@dataclass(frozen=True)
class Answer:
    """What a command returned and printed."""

    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """Always."""
        return True


def run_command(*arguments: object, stream: type[io.StringIO] = io.StringIO) -> Answer:
    """Run ``permsolve ARGUMENTS`` in this process; ``stream`` is what it writes to."""
    out, err = stream(), stream()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Answer(int(code), out.getvalue(), err.getvalue())


@pytest.fixture
def run() -> Callable[..., Answer]:
    """The command line as a function."""
    return run_command


@pytest.fixture
def weight_file(tmp_path: Path) -> Path:
    """A small weight in a file."""
    path = tmp_path / "w.npy"
    np.save(path, np.random.default_rng(0).normal(size=(24, 18)).astype(np.float32))
    return path


@pytest.fixture
def send_when_found(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has a signal sent to this process at the first improvement of a search, whenever that is."""

    def prepare(number: int) -> None:
        sent: list[object] = []

        def send(incumbent: object) -> None:
            if not sent:
                sent.append(incumbent)
                os.kill(os.getpid(), number)

        @contextmanager
        def progress_line(*_: object, **__: object) -> Iterator[Callable[[object], None]]:
            yield send

        monkeypatch.setattr("permsolve.cli.progress.progress_line", progress_line)

    return prepare
