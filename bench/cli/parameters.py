"""Parameters that several commands share."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bench.instances import Instance, file_instances, get_instance
from bench.instances.sets import SETS, instance_set
from bench.instances.trained import CACHE_VARIABLE
from permsolve.errors import SolverUnavailableError
from permsolve.registry import solver_class

Cache = Annotated[
    Path | None, typer.Option(envvar=CACHE_VARIABLE, help="Folder of trained networks.", show_default=False)
]
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", "--safetensors", help="Your own .npy, .npz or .safetensors; repeatable.", show_default=False
    ),
]
PatternText = Annotated[
    str | None,
    typer.Option("--pattern", help="N:M, for names that do not say it (2:4 by default).", show_default=False),
]


def named_instances(
    names: Sequence[str], files: Sequence[Path], pattern: str | None, cache: Path | None
) -> list[Instance]:
    """The instances of a command line: names, sets of them, and files.

    Raises
    ------
    UnknownInstanceError, FileFormatError, OSError
        When one cannot be found or read.
    """
    found: list[Instance] = []
    for name in names:
        found += instance_set(name, pattern or "2:4", cache) if name in SETS else [get_instance(name, pattern, cache)]
    for path in files:
        found += file_instances(path, pattern=pattern or "2:4")
    return found


def check_solvers(names: Sequence[str]) -> None:
    """Refuse names of solvers that mean nothing before anything is run; what one lacks is for its rows to say.

    Raises
    ------
    UnknownSolverError
        With the names that there are.
    """
    for name in names:
        with suppress(SolverUnavailableError):
            solver_class(name)


def share_cache(cache: Path | None) -> None:
    """Let the processes that measure know the folder of trained networks."""
    if cache is not None:
        os.environ[CACHE_VARIABLE] = str(cache.resolve())
