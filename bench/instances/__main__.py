"""List instances: ``python -m bench.instances hard digits 128x64@1+4:8``."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from bench.instances.files import file_instances
from bench.instances.instance import Instance
from bench.instances.registry import get_instance
from bench.instances.sets import SETS, instance_set
from bench.instances.trained import CACHE_VARIABLE
from permsolve.errors import PermsolveError


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


def main(
    name: Annotated[
        list[str] | None, typer.Argument(help=f"Instances, or sets of them: {', '.join(SETS)}. All sets by default.")
    ] = None,
    pattern: Annotated[str | None, typer.Option(help="N:M, for names that do not say it (2:4 by default).")] = None,
    cache: Annotated[Path | None, typer.Option(envvar=CACHE_VARIABLE, help="Folder of trained networks.")] = None,
    file: Annotated[list[Path] | None, typer.Option(help="Your own .npy, .npz or .safetensors; repeatable.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Make each, too, and show what it keeps.")] = False,
) -> None:
    """Show what instances there are."""
    instances: list[Instance] = []
    try:
        for one in name or ([] if file else list(SETS)):
            if one in SETS:
                instances += instance_set(one, pattern or "2:4", cache)
            else:
                instances.append(get_instance(one, pattern, cache))
        for path in file or []:
            instances += file_instances(path, pattern=pattern or "2:4")
        table = _table(instances, measure)
    except (PermsolveError, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from error
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
