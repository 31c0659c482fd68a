"""``python -m bench scoreboard``."""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.box import SIMPLE
from rich.table import Table

from bench.cli.failing import failing
from bench.cli.parameters import Cache, Files, PatternText, check_solvers, named_instances, share_cache
from bench.plans import Settings, get_plan
from bench.runner import Journal, Row, is_error, open_executor, run_tasks
from permsolve.cli.console import console

INSTANCES = ("128x64@1", "64x128@0", "256x256@1", "512x512@1")
MARKS = (0.1, 0.33, 1.0)
# A search notices its limit a little late, and its last improvement still counts.
LATE = 1.05


def scoreboard(
    instance: Annotated[
        list[str] | None, typer.Argument(help="ROWSxCOLUMNS@SEED or another instance.", show_default=False)
    ] = None,
    file: Files = None,
    solver: Annotated[list[str] | None, typer.Option(help="May be repeated; auto by default.")] = None,
    pattern: PatternText = None,
    cache: Cache = None,
    time_limit: Annotated[float, typer.Option(min=0.01, help="Seconds for each.")] = 10.0,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each solver.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Threads of each solver.")] = 2,
) -> None:
    """Median efficacy at a tenth, a third and all of the time, of a few solvers on a few instances."""
    share_cache(cache)
    title = f"median efficacy in percent; seeds: {seeds}, workers: {workers}"
    table = Table(title=title, box=SIMPLE, pad_edge=False)
    marks = (f"at {mark * time_limit:g} s" for mark in MARKS)
    for heading in ("instance", "solver", *marks, "min", "max", "gap"):
        table.add_column(heading, justify="left" if heading in ("instance", "solver") else "right", no_wrap=True)
    with failing(), tempfile.TemporaryDirectory() as folder:
        check_solvers(solver or ())
        names = instance or ([] if file else INSTANCES)
        chosen = named_instances(names, file or [], pattern, cache)
        settings = Settings(chosen, solver or ["auto"], seeds=seeds, time_limit=time_limit, workers=workers)
        plan = get_plan("own")
        tasks = list(plan.tasks(settings))
        with Journal(Path(folder) / "rows.jsonl") as journal, open_executor("thread", 1) as (pool, jobs):
            run_tasks(tasks, journal, pool, jobs, plan.verify_work, _say)
            for name, label in dict.fromkeys((task.instance, task.name) for task in tasks):
                rows = [row for row in journal.rows.values() if (row["instance"], row["label"]) == (name, label)]
                table.add_row(name, label, *_cells([row for row in rows if not is_error(row)], time_limit))
    console().print(table)


def _say(row: Row) -> None:
    what = row["error"]["message"] if is_error(row) else f"{row['efficacy']:.2f} %"
    console(to_stderr=True).print(f"{row['instance']} {row['label']} seed {row['seed']}: {what}")


def _cells(rows: list[Row], time_limit: float) -> list[str]:
    if not rows:
        return []
    final = [row["efficacy"] for row in rows]
    medians = [np.median([_efficacy_at(row, LATE * mark * time_limit) for row in rows]) for mark in MARKS]
    gap = 100.0 * float(np.median([row["gap"] for row in rows]))
    return [*(f"{value:.2f}" for value in (*medians, min(final), max(final))), f"{gap:.3f} %"]


def _efficacy_at(row: Row, seconds: float) -> float:
    """Efficacy of the best permutation known some seconds after the start."""
    value = max(value for time, value, _ in row["trace"] if time <= seconds or time == row["trace"][0][0])
    room = row["row_bound"] - row["baseline"]
    return 100.0 * (value - row["baseline"]) / room if room > 0.0 else 100.0
