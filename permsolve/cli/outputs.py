"""Checking where results shall go before any work is done."""

import os
from collections.abc import Iterable
from pathlib import Path

from permsolve.errors import InvalidOptionError

STDOUT = "-"


def check_output(path: str | Path | None, option: str, suffixes: Iterable[str], *sources: Path) -> None:
    """Refuse an output that could not be written at the end, or that would replace an input.

    Raises
    ------
    InvalidOptionError
        With the reason.
    """
    if path is None or path == STDOUT:
        return
    target = Path(path)
    allowed = tuple(suffixes)
    if target.suffix.lower() not in allowed:
        raise InvalidOptionError(f"{option} {target}: name it {' or '.join(allowed)}")
    if target.is_dir():
        raise InvalidOptionError(f"{option} {target}: that is a folder")
    if not target.parent.is_dir():
        raise InvalidOptionError(f"{option} {target}: the folder {target.parent} does not exist")
    if not os.access(target.parent, os.W_OK):
        raise InvalidOptionError(f"{option} {target}: the folder {target.parent} cannot be written to")
    if target.exists() and any(source.exists() and target.samefile(source) for source in sources):
        raise InvalidOptionError(f"{option} {target}: that is the input; choose another name")
