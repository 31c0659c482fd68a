"""What goes wrong becomes one line on stderr and an exit code."""

import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager

import typer

from permsolve.errors import PermsolveError

WRONG_INPUT, NOT_INSTALLED, FAILED, INTERRUPTED = 2, 3, 1, 130


@contextmanager
def failing() -> Iterator[None]:
    """End the program with 2 for wrong input, 3 for a missing package, 1 for a broken executor."""
    try:
        yield
    except ModuleNotFoundError as error:
        _end(f"{error.name} is needed for this: pip install -e '.[bench]'", NOT_INSTALLED, error)
    except BrokenExecutor as error:
        _end(f"the executor broke ({error}): start again, finished rows are kept", FAILED, error)
    except OSError as error:
        _end(f"{error.filename}: {error.strerror}" if error.filename else str(error), WRONG_INPUT, error)
    except PermsolveError as error:
        _end(str(error), WRONG_INPUT, error)


def _end(message: str, code: int, error: Exception) -> None:
    print(f"bench: error: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(code) from error
