"""``python -m bench best-known``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.best_known import DEFAULT_PATH, check_entry, improved, load, prove_entry, save
from bench.cli.failing import failing
from bench.runner import read_rows
from permsolve.cli.console import console


def best_known(
    run: Annotated[
        list[Path] | None, typer.Argument(help="Runs whose better values are taken; without them the file is checked.")
    ] = None,
    path: Annotated[Path, typer.Option(help="The file of best known values.", show_default=False)] = DEFAULT_PATH,
    prove: Annotated[
        float | None, typer.Option(help="Also prove again what is called proven, with this many seconds for each.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the entries.")] = False,
) -> None:
    """Check every best known value by its permutation, or take better ones from runs; a wrong one is refused."""
    printer = console()
    with failing():
        known = load(path)
        if run:
            better = improved(known, (row for file in run for row in read_rows(file)))
            changed = [name for name in better if better[name] != known.get(name)]
            save(better, path)
            printer.print(f"{path}: {len(changed)} of {len(better)} entries are new or better", soft_wrap=True)
            known = better
        else:
            for name, entry in known.items():
                check_entry(name, entry)
            printer.print(f"{path}: all {len(known)} values are what their permutations keep", soft_wrap=True)
        if prove is not None:
            claimed = [name for name, entry in known.items() if entry.proven]
            open_ones = [name for name in claimed if not prove_entry(name, known[name], prove)]
            printer.print(
                f"{len(claimed) - len(open_ones)} of {len(claimed)} proven ones proven again in {prove:g} s each"
            )
            for name in open_ones:
                printer.print(f"not proven again: {name}")
    if show:
        table = Table("instance", "value", "proven", "solver", "seed", "seconds", "date")
        for name, entry in sorted(known.items()):
            proven = "yes" if entry.proven else ""
            cells = (f"{entry.value:.6f}", proven, entry.solver, str(entry.seed), f"{entry.seconds:g}", entry.date)
            table.add_row(name, *cells)
        printer.print(table)
