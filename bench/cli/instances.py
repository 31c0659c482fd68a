"""``python -m bench instances``."""

from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from bench.cli.failing import failing
from bench.cli.parameters import Cache, Files, PatternText, named_instances
from bench.instances import SETS, Instance
from permsolve.cli.console import console


def _table(instances: list[Instance], measure: bool) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, show_edge=False)
    table.add_column("name", no_wrap=True)
    for heading in ("shape", "pattern", "optimum", *(["kept"] if measure else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in instances:
        optimum = "" if one.make_optimum is None else f"{one.optimum:.4f}" if measure else "known"
        cells = [one.name, f"{one.rows} x {one.columns}", str(one.pattern), optimum]
        if measure:
            problem = one.load()
            cells.append(f"{100 * problem.baseline / problem.total:.2f} %" if problem.total else "all zeros")
        table.add_row(*cells)
    return table


def instances(
    name: Annotated[
        list[str] | None, typer.Argument(help=f"Instances, or sets of them: {', '.join(SETS)}. All sets by default.")
    ] = None,
    pattern: PatternText = None,
    cache: Cache = None,
    file: Files = None,
    measure: Annotated[bool, typer.Option("--measure", help="Make each, too, and show what it keeps.")] = False,
) -> None:
    """Show what instances there are: sets, names such as 128x64@1+4:8, digits~65 or digits~noise1, your own files."""
    with failing():
        found = named_instances(name or ([] if file else list(SETS)), file or [], pattern, cache)
        console().print(_table(found, measure))
