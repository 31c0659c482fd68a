"""``python -m bench report``."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.failing import failing
from permsolve.cli.console import console


def report(
    run: Annotated[list[Path], typer.Argument(help="Files of rows, of one run or of several.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report.", show_default=False)],
) -> None:
    """Make a report of a run: report.md with pictures beside it, and report.html, one page that needs nothing else."""
    with failing():
        from bench.report import write_report

        page = write_report(run, out)
        console().print(f"{page.with_suffix('.md')}\n{page}", soft_wrap=True)
