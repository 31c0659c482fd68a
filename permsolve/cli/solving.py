"""Searches one after the other, of which nothing that is done gets lost."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from permsolve.cli.outputs import STDOUT
from permsolve.io.tensors_out import write_tensors
from permsolve.io.writing import atomic_write
from permsolve.result import Result
from permsolve.status import StopReason

# Share of the time that may go into writing what is done while there is more to do.
_SAVING_SHARE = 0.02


class Saving:
    """Writes what is done after each tensor, as long as that takes next to no time: a killed process says no more.

    Parameters
    ----------
    out, json_path : path_like or None
        Where to.
    every : bool
        Whether the document is one of several results.
    """

    def __init__(self, out: Path | None, json_path: str | None, every: bool) -> None:
        self._out, self._json_path, self._every = out, json_path, every
        self._last, self._took = monotonic(), 0.0

    def __call__(self, results: Mapping[str, Result]) -> None:
        """Write these, unless the last time was too short ago."""
        begun = monotonic()
        if self._took > _SAVING_SHARE * (begun - self._last):
            return
        # Space for the last time is held: a disk that has no more for another copy is no reason to end the search.
        with suppress(OSError):
            if self._out is not None:
                write_orders(results, self._out)
            if self._json_path not in (None, STDOUT):
                write_results(results, self._every, self._json_path)
        self._last = monotonic()
        self._took = self._last - begun


def solve_each(
    names: list[str], solved: Callable[[str], Result], saved: Saving | None
) -> tuple[dict[str, Result], BaseException | None]:
    """The results by name, and what ended the searches before the last one, if anything did.

    What ends the first of them is raised: there is nothing to keep.
    """
    results: dict[str, Result] = {}
    for name in names:
        try:
            results[name] = solved(name)
            if results[name].stop_reason == StopReason.INTERRUPTED:
                return results, KeyboardInterrupt()
            if saved is not None:
                saved(results)
        except (Exception, KeyboardInterrupt) as error:  # to be raised again when what is done is written
            if not results:
                raise
            return results, error
    return results, None


def write_orders(results: Mapping[str, Result], path: str | os.PathLike[str]) -> None:
    """Write the permutations by tensor name."""
    write_tensors(path, {name: result.permutation for name, result in results.items()})


def write_results(results: Mapping[str, Result], every: bool, path: str | os.PathLike[str]) -> None:
    """Write all that is known, as JSON: of one tensor, or of every one by name."""
    text = as_text(results, every)
    atomic_write(path, lambda stream: stream.write(text.encode()))


def as_text(results: Mapping[str, Result], every: bool) -> str:
    """All that is known, as JSON."""
    document: dict[str, Any] = {name: result.to_dict() for name, result in results.items()}
    document = {"tensors": document} if every else next(iter(document.values()))
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
