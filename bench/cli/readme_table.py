"""``python -m bench readme-table``."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.failing import FAILED, failing
from bench.report.headline import README, RESULTS, headline_table, with_table
from permsolve.cli.console import console


def readme_table(
    results: Annotated[Path, typer.Option(help="Folder of committed rows.", show_default=False)] = RESULTS,
    readme: Annotated[Path, typer.Option(help="File whose table is made anew.", show_default=False)] = README,
    check: Annotated[bool, typer.Option("--check", help="Only say whether it is up to date.")] = False,
) -> None:
    """Write the table of the README between its markers, from the committed rows."""
    with failing():
        before = readme.read_text(encoding="utf-8")
        after = with_table(before, headline_table(results))
        if check and before != after:
            console(to_stderr=True).print(f"{readme}: its table is not what the rows say: python -m bench readme-table")
            raise typer.Exit(FAILED)
        if before != after:
            readme.write_text(after, encoding="utf-8")
