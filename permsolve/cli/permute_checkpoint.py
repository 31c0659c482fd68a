"""``permsolve permute-checkpoint``."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.parameters import PatternText, SaliencyName
from permsolve.cli.text import printable
from permsolve.errors import MissingPackageError


def permute_checkpoint(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with config.json and safetensors.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.", show_default=False)],
    pattern: PatternText = "2:4",
    solver: Annotated[str, typer.Option(help="Name of a solver: see `permsolve solvers`.")] = "auto",
    time_limit: Annotated[float, typer.Option(help="Seconds of search for the whole model.")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads to use. Without it: all cores.", show_default=False)
    ] = None,
    saliency: SaliencyName = "magnitude",
    include: Annotated[
        list[str] | None,
        typer.Option(
            help="Glob of layers that count; may be repeated. Without it: all but the output head.", show_default=False
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Glob of layers that do not count; may be repeated.", show_default=False)
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Prune the layers that count to the pattern, too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the output folder when it exists.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the report of all axes here.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> int:
    """Permute a whole model of a Hugging Face style folder; it computes what it did.

    Every axis that may be permuted is, in all weights that carry it, and nothing is added at run time.
    Shards, names and types stay as they are; weights in formats other than safetensors are left out.
    Ctrl-C keeps what is solved: the same command goes on from there.
    """
    try:
        from permsolve.networks.checkpoints import permute_checkpoint as run
        from permsolve.networks.checkpoints.folder import CheckpointFolder
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"permute-checkpoint needs {error.name}: pip install 'permsolve[hf]'") from error

    with _progress(show=not quiet) as on_done:
        try:
            done = run(
                source,
                out,
                pattern,
                include=include or None,
                exclude=exclude or None,
                prune=prune,
                force=force,
                on_done=on_done,
                solver=solver,
                time_limit=time_limit,
                seed=seed,
                workers=workers,
                saliency=saliency,
            )
        except KeyboardInterrupt:
            sys.stderr.write("permsolve: interrupted: the same command goes on from the axes that are solved\n")
            return ExitCode.INTERRUPTED
    if report is not None:
        done.save(report)
    if not quiet:
        typer.echo(done.table())
        _, left_out = CheckpointFolder.open(source).other_files()
        for file in left_out:
            sys.stderr.write(f"permsolve: {printable(str(file))} was left out: weights in another format\n")
    return ExitCode.OK


@contextmanager
def _progress(*, show: bool) -> Iterator[Callable[[], None] | None]:
    """A live count of solved axes on stderr; nothing where stderr is no terminal."""
    if not show or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} axes solved"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda: progress.advance(task)
