"""What the commands for checkpoint folders share."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Protocol

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.text import printable
from permsolve.cores import granted_threads
from permsolve.errors import MissingPackageError, PermsolveError

SourceFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder with config.json and safetensors.", show_default=False)
]
Out = Annotated[Path, typer.Option(help="The folder to write.", show_default=False)]
SolverName = Annotated[str, typer.Option(help="Name of a solver: see `permsolve solvers`.")]
TimeLimit = Annotated[float, typer.Option(help="Seconds of search for the whole model.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the search.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Threads to use. Without it: all cores.", show_default=False)]
Include = Annotated[
    list[str] | None,
    typer.Option(
        help="Glob of layers that count; may be repeated. Without it: all but the output head.", show_default=False
    ),
]
Exclude = Annotated[
    list[str] | None, typer.Option(help="Glob of layers that do not count; may be repeated.", show_default=False)
]
Inputs = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Arguments of a call by name (.npz) that the model is traced and verified with; may be repeated. Without "
        "it: calls are made after the model's configuration.",
        show_default=False,
    ),
]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Files, or tensors that the model does not use, which the output shall not have; may be repeated.",
        show_default=False,
    ),
]
Unchanged = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Files, or tensors that the model does not use, which are copied as they are, since they read nothing but "
        "inputs and outputs of the model; may be repeated.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the output folder when it exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


OnDone = Callable[[], None] | None
OnRemark = Callable[[str], None]


class _Report(Protocol):
    def table(self) -> str: ...

    def save(self, path: Path) -> None: ...


def run_conversion(
    command: str,
    target: Path,
    convert: Callable[[OnDone, OnRemark], _Report],
    report: Path | None,
    quiet: bool,
) -> int:
    """Convert a folder with a live count of axes, and tell what came of it.

    Parameters
    ----------
    command : str
        Its name, for messages.
    target : Path
        The folder that is written.
    convert : callable
        Does it, given what to call after each axis, and with what is to be said in the end.
    report : Path or None
        Where the report is written.
    quiet : bool
        Whether to print nothing but errors.
    """
    remarks: list[str] = []
    try:
        from permsolve.networks.checkpoints.target import solved_folder

        with _progress(show=not quiet) as on_done:
            done = convert(on_done, remarks.append)
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"{command} needs {error.name}: pip install 'permsolve[hf]'") from error
    except PermsolveError as error:
        if len(error.args) == 1:
            error.args = (_as_options(str(error)),)
        raise
    except KeyboardInterrupt:
        kept = solved_folder(target).is_dir()
        rest = "the same command goes on from the axes that are solved" if kept else "nothing was written"
        sys.stderr.write(f"permsolve: interrupted: {rest}\n")
        return ExitCode.INTERRUPTED
    if report is not None:
        done.save(report)
    if not quiet:
        typer.echo(_as_options(done.table()))
        for remark in remarks:
            sys.stderr.write(f"permsolve: {printable(remark)}\n")
    return ExitCode.OK


def _as_options(text: str) -> str:
    """Arguments of Python that a sentence is about (``exclude=``), as the options that these commands have."""
    text = re.sub(r"(?<![\w-])(include|exclude)=(?=['\"])", r"--\1 ", text)
    return re.sub(r"(?<![\w-])(include|exclude)=(?!\w)", r"--\1", text)


@contextmanager
def _progress(*, show: bool) -> Iterator[Callable[[], None] | None]:
    """A live count of solved axes on stderr; nothing where stderr is no terminal."""
    if not show or not sys.stderr.isatty() or not granted_threads(1):  # one redraws it
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} axes solved"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda: progress.advance(task)
