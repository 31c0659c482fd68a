"""An executor that remembers what it has solved."""

import hashlib
import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from permsolve.errors import FileFormatError
from permsolve.networks.solving import uninterrupted
from permsolve.result import Result


class ResumingExecutor(Executor):
    """Runs solves one after the other, and keeps each result in a file that the next run finds.

    Parameters
    ----------
    folder : Path
        Where results are kept, made with the first of them; a file per problem, named after all that the solve
        depends on.
    on_done : callable, optional
        Called after each solve.
    """

    def __init__(self, folder: Path, on_done: Callable[[], None] | None = None) -> None:
        self._folder, self._on_done = folder, on_done

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Solve now, or take the result of an earlier run.

        Raises
        ------
        KeyboardInterrupt
            When Ctrl-C ended the search; what had been solved before is kept.
        """
        path = self._folder / f"{_key(fn, args, kwargs)}.json"
        future: Future[Any] = Future()
        result = _known(path)
        if result is None:
            try:
                result = fn(*args, **kwargs)
            except Exception as error:
                future.set_exception(error)
                return future
            uninterrupted(result)
            self._folder.mkdir(parents=True, exist_ok=True)
            result.save(path)
        future.set_result(result)
        if self._on_done is not None:
            self._on_done()
        return future


def _key(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A name for what is computed; the pickle is only hashed."""
    return hashlib.sha256(pickle.dumps((fn.__module__, fn.__qualname__, args, sorted(kwargs.items())))).hexdigest()


def _known(path: Path) -> Result | None:
    if not path.is_file():
        return None
    try:
        return Result.load(path)
    except FileFormatError:  # cut off by a full disk: solved again
        return None
