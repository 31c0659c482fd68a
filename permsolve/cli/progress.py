"""The live line of a running search."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from permsolve.observers import Incumbent, Observer
from permsolve.problem import Problem


@contextmanager
def progress_line(problem: Problem, name: str, *, show: bool) -> Iterator[Observer | None]:
    """Show time, kept saliency and efficacy on stderr while the body runs; nothing where stderr is no terminal.

    Parameters
    ----------
    problem : Problem
        The problem being solved.
    name : str
        What to call it.
    show : bool
        Whether to show anything.

    Yields
    ------
    observer : callable or None
        To be given to :func:`permsolve.solve`.
    """
    if not show or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns: tuple[Any, ...] = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("kept {task.fields[kept]}"),
        TextColumn("efficacy {task.fields[efficacy]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        size = f"{problem.rows} x {problem.columns}"
        task = progress.add_task(f"{name} ({size}, {problem.pattern})", total=None, kept="...", efficacy="...")

        def show_incumbent(incumbent: Incumbent) -> None:
            progress.update(
                task,
                kept=f"{share(incumbent.value, problem.total)}",
                efficacy=f"{problem.efficacy(incumbent.value):.2f} %",
            )

        yield show_incumbent


def share(value: float, total: float) -> str:
    """A part of a total in percent; a total of nothing is all kept."""
    return f"{100.0 * value / total if total > 0.0 else 100.0:.3f} %"
