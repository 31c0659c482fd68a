"""Checking where results shall go before any work is done."""

import os
from collections.abc import Iterable
from pathlib import Path

import typer

STDOUT = "-"


def check_output(path: str | Path | None, option: str, suffixes: Iterable[str], source: Path) -> None:
    """Refuse an output that could not be written at the end, or that would replace the input.

    Raises
    ------
    typer.BadParameter
        With the reason.
    """
    if path is None or path == STDOUT:
        return
    target = Path(path)
    allowed = tuple(suffixes)
    if target.suffix.lower() not in allowed:
        raise typer.BadParameter(f"{option} {target}: name it {' or '.join(allowed)}")
    if target.is_dir():
        raise typer.BadParameter(f"{option} {target}: that is a folder")
    if not target.parent.is_dir():
        raise typer.BadParameter(f"{option} {target}: the folder {target.parent} does not exist")
    if not os.access(target.parent, os.W_OK):
        raise typer.BadParameter(f"{option} {target}: the folder {target.parent} cannot be written to")
    if target.exists() and source.exists() and target.samefile(source):
        raise typer.BadParameter(f"{option} {target}: that is the input; choose another name")
