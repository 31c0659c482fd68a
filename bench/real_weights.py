"""``auto`` against the published search on trained weights: ``python -m bench.real_weights --cache FOLDER``.

The published search (stripe groups with escapes) runs to its end, or to a cap; ``auto`` then gets a tenth of the time
that it took, and the same time. The weights are made by ``python -m bench.train``.
"""

import statistics
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.instances import instance_set
from permsolve import solve

HEADINGS = ("instance", "rows x columns", "stripe-groups", "seconds", "auto, a tenth", "auto, same time")


def main(
    cache: Annotated[Path, typer.Option(help="Folder that `python -m bench.train` filled.")],
    only: Annotated[list[str] | None, typer.Option(help="Instances; all trained matrices when not given.")] = None,
    escapes: int = 1000,
    cap: Annotated[float, typer.Option(help="Most seconds for stripe-groups.")] = 60.0,
    workers: int = 2,
    out: Annotated[Path | None, typer.Option(help="Write the table to this Markdown file.")] = None,
) -> None:
    """Print efficacy in percent for every trained matrix."""
    rows: list[list[str]] = []
    leads: list[tuple[float, float]] = []
    for instance in instance_set("real", cache=cache):
        if only and instance.name not in only:
            continue
        problem = instance.load()
        if problem.columns < 2 * problem.pattern.m:
            continue
        for name in ("stripe-groups", "auto"):  # not counted: the first run compiles
            solve(problem, name, time_limit=0.2, workers=workers)
        published = solve(problem, "stripe-groups", time_limit=cap, workers=workers, escapes=escapes)
        short = solve(problem, "auto", time_limit=max(0.05, published.runtime / 10), workers=workers)
        long = solve(problem, "auto", time_limit=max(0.05, published.runtime), workers=workers)
        leads.append((short.efficacy - published.efficacy, long.efficacy - published.efficacy))
        numbers = (published.efficacy, published.runtime, short.efficacy, long.efficacy)
        rows.append([instance.name, f"{problem.rows} x {problem.columns}", *(f"{number:.2f}" for number in numbers)])
        Console(stderr=True).print(" ".join(rows[-1]))
    table = Table(*HEADINGS, title=f"efficacy in percent, 2:4, stripe-groups with {escapes} escapes")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if leads:
        tenth, same = zip(*leads, strict=True)
        Console().print(
            f"auto ahead on {sum(lead > 0 for lead in tenth)} of {len(tenth)} in a tenth of the time, "
            f"by {statistics.mean(same):.2f} points on average in the same time"
        )
    if out is not None:
        lines = [HEADINGS, ["---"] * len(HEADINGS), *rows]
        out.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


if __name__ == "__main__":
    typer.run(main)
