"""Efficacy against time for each instance and solver: ``python -m bench.scoreboard``.

Instances are named as in :mod:`bench.instances` (``128x64@1`` is ``np.random.seed(1); np.random.rand(128, 64)``, as in
the literature), or .npy files. Every run is re-scored by the core; a short run that is not counted compiles the
kernels.
"""

import statistics
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.instances import file_instances, get_instance
from permsolve import Problem, Result, solve
from permsolve.errors import UnsupportedProblemError

INSTANCES = ["128x64@1", "64x128@0", "256x256@1", "512x512@1"]


def load_instance(name: str, pattern: str) -> Problem:
    """The problem called ``name``, an instance (see :mod:`bench.instances`) or the path of a .npy file."""
    if name.endswith(".npy"):
        (instance,) = file_instances(Path(name), pattern=pattern)
    else:
        instance = get_instance(name, pattern)
    return instance.load()


def efficacy_at(problem: Problem, result: Result, seconds: float) -> float:
    """Efficacy of the best permutation known ``seconds`` after the start."""
    known = [point.value for point in result.trace if point.time <= seconds]
    return problem.efficacy(known[-1]) if known else 0.0


def main(
    instance: Annotated[
        list[str] | None, typer.Argument(help="ROWSxCOLUMNS@SEED, another instance, or a .npy file.")
    ] = None,
    solver: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    pattern: str = "2:4",
    time_limit: float = 10.0,
    seeds: int = 3,
    workers: int = 2,
    out: Annotated[Path | None, typer.Option(help="Also append the rows to this Markdown file.")] = None,
) -> None:
    """Print, for each instance and solver, the median efficacy at a tenth, a third and all of the time."""
    marks = (0.1, 0.33, 1.0)
    headings = ["instance", "solver", *(f"at {mark * time_limit:g} s" for mark in marks), "min", "max", "gap"]
    table = Table(title=f"median efficacy in percent, {pattern}, {seeds} seeds, {workers} workers")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("instance", "solver") else "right")
    rows = []
    for name in instance or INSTANCES:
        problem = load_instance(name, pattern)
        for one in solver or ["auto"]:
            try:
                solve(problem, one, time_limit=min(1.0, time_limit), workers=workers)
            except UnsupportedProblemError:
                continue
            results = [solve(problem, one, time_limit=time_limit, seed=seed, workers=workers) for seed in range(seeds)]
            medians = [
                statistics.median(efficacy_at(problem, result, mark * time_limit * 1.05) for result in results)
                for mark in marks
            ]
            final = [result.efficacy for result in results]
            gap = 100 * statistics.median(result.gap for result in results)
            numbers = [*(f"{value:.2f}" for value in (*medians, min(final), max(final))), f"{gap:.3f} %"]
            rows.append([name, one, *numbers])
            table.add_row(*rows[-1])
            Console(stderr=True).print(" ".join(rows[-1]))
    Console().print(table)
    if out is not None:
        with out.open("a") as stream:
            stream.writelines(
                f"| {' | '.join(row)} |\n"
                for row in [headings, ["---"] * len(headings), *rows, [""] * len(headings)][:-1]
            )


if __name__ == "__main__":
    typer.run(main)
