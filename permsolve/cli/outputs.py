"""Checking where results shall go before any work is done."""

import os
from collections.abc import Iterable
from pathlib import Path

from permsolve.errors import InvalidOptionError

STDOUT = "-"


def check_output(path: str | Path | None, option: str, suffixes: Iterable[str], *taken: Path | None) -> None:
    """Refuse an output that could not be written at the end, or that would replace an input.

    Parameters
    ----------
    path : path_like or None
        Where the output shall go; None and ``-`` are fine.
    option : str
        What it was given as, for the message.
    suffixes : iterable of str
        What its name may end in.
    *taken : Path or None
        Files that it must not be, and folders that it must not be in: what the command reads, and other outputs.

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
    for place in filter(None, taken):
        if target.exists() and place.exists() and target.samefile(place):
            raise InvalidOptionError(f"{option} {target}: that is the input; choose another name")
        if Path(os.path.realpath(place)) in Path(os.path.realpath(target)).parents:
            raise InvalidOptionError(f"{option} {target}: that is inside of {place}; choose another folder")
    folder = target.parent if not target.is_symlink() else Path(os.path.realpath(target)).parent
    if not folder.is_dir():
        raise InvalidOptionError(f"{option} {target}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise InvalidOptionError(f"{option} {target}: the folder {folder} cannot be written to")
