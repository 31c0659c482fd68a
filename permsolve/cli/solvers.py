"""``permsolve solvers``."""

import dataclasses
import json
import sys
from typing import Annotated, Any

import typer

from permsolve.cli.console import console
from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.outputs import STDOUT
from permsolve.errors import InvalidOptionError


def solvers(
    json_path: Annotated[
        str | None, typer.Option("--json", help="Give - to print JSON instead.", show_default=False)
    ] = None,
) -> int:
    """List the solvers: what each can do and its options."""
    if json_path not in (None, STDOUT):
        raise InvalidOptionError("--json takes - here, and prints to stdout")

    from rich import box
    from rich.table import Table

    from permsolve.errors import SolverUnavailableError
    from permsolve.registry import available_solvers, option_names, solver_class

    rows: list[dict[str, Any]] = []
    for name in available_solvers():
        try:
            solver = solver_class(name)
        except SolverUnavailableError as error:
            rows.append({"name": name, "available": False, "summary": str(error), "options": []})
            continue
        capabilities = dataclasses.asdict(solver.capabilities)
        rows.append({"name": name, "available": True, **capabilities, "options": list(option_names(solver))})
    if json_path == STDOUT:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return ExitCode.OK
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("solver", no_wrap=True)
    for heading in ("what it does", "capabilities", "options"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        flags = [flag.replace("_", " ") for flag in ("exact", "anytime", "warm_start", "parallel") if row.get(flag)]
        flags += [f"N:M {row['patterns']}"] if row["available"] else ["not installed"]
        cells = (row["name"], row["summary"], ", ".join(flags), ", ".join(row["options"]))
        table.add_row(*map(str, cells))
    console().print(table)
    return ExitCode.OK
