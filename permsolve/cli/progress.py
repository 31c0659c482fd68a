"""The live line of a running search."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from permsolve.cli.text import printable
from permsolve.cores import granted_threads
from permsolve.observers import Incumbent, Observer
from permsolve.problem import Problem


@contextmanager
def progress_line(problem: Problem, name: str, start: float, *, show: bool) -> Iterator[Observer | None]:
    """Show time, kept saliency and efficacy on stderr while the body runs; nothing where stderr is no terminal.

    Parameters
    ----------
    problem : Problem
        The problem being solved.
    name : str
        What to call it.
    start : float
        What the search starts from, shown until it finds better.
    show : bool
        Whether to show anything.

    Yields
    ------
    observer : callable or None
        To be given to :func:`permsolve.solve`.
    """
    if not show or not sys.stderr.isatty() or not granted_threads(1):  # one redraws it
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns: tuple[Any, ...] = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        TextColumn("kept {task.fields[kept]}"),
        TextColumn("efficacy {task.fields[efficacy]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        size = f"{problem.rows} x {problem.columns}"

        def fields(value: float) -> dict[str, Any]:
            return {"kept": share(value, problem.total), "efficacy": f"{problem.efficacy(value):.2f} %"}

        label = f"{printable(name)} ({size}, {problem.pattern})"
        task = progress.add_task(label, total=None, **fields(start))

        def show_incumbent(incumbent: Incumbent) -> None:
            progress.update(task, **fields(incumbent.value))

        yield show_incumbent


def share(value: float, total: float) -> str:
    """A part of a total in percent; a total of nothing is all kept."""
    return f"{100.0 * value / total if total > 0.0 else 100.0:.3f} %"
