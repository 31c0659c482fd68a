"""``python -m bench run``."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.cli.failing import INTERRUPTED, failing
from bench.cli.parameters import Cache, Files, PatternText, check_solvers, named_instances, share_cache
from bench.peers import APEX_VARIABLE, PEERS
from bench.peers.apex import searches_of
from bench.plans import PLANS, SOLVE, Settings, get_plan
from bench.runner import Journal, Row, is_error, open_executor, run_tasks, unfinished
from bench.runner.executors import DASK, KINDS
from bench.runner.machine import machine, revision
from bench.runner.row import FORMAT, RUN
from permsolve.cli.console import console
from permsolve.errors import InvalidOptionError
from permsolve.registry import register_solver

RUNS = Path("runs")


def run(
    plan: Annotated[str, typer.Argument(help=f"{', '.join(PLANS)}: see `python -m bench plans`.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Rows are appended to this file; runs/PLAN.jsonl by default.", show_default=False
        ),
    ] = None,
    executor: Annotated[str, typer.Option(help=f"Where tasks run: {KINDS}.")] = "thread",
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tasks at a time. Without it: as many as the cores have room for.", show_default=False
        ),
    ] = None,
    instance: Annotated[
        list[str] | None, typer.Option(help="Instances or sets instead of the plan's; repeatable.", show_default=False)
    ] = None,
    file: Files = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Of the plan, instances like this (uniform-32x16@*).", show_default=False)
    ] = None,
    solver: Annotated[
        list[str] | None, typer.Option(help="Solvers instead of the plan's; repeatable.", show_default=False)
    ] = None,
    add_solver: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MODULE:CLASS", help="A solver that is not registered.", show_default=False),
    ] = None,
    apex: Annotated[
        Path | None,
        typer.Option(help="Checkout of NVIDIA Apex, whose searches then take part.", show_default=False),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of each solver.", show_default=False)] = None,
    time_limit: Annotated[float | None, typer.Option(min=0.01, help="Seconds for each.", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads of each solver.", show_default=False)] = None,
    pattern: PatternText = None,
    cache: Cache = None,
    full: Annotated[
        bool, typer.Option("--full", help="The whole grid of the plan, where it is a part of one.")
    ] = False,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Run again what ended in an error.")] = False,
) -> None:
    """Run a plan; start it again after a kill or Ctrl-C and it goes on where it was.

    Every solver gets the same time on an instance; compiling is not counted; every answer is scored again from the
    weight and checked. What raises, crashes or overruns is a row with its error.
    """
    share_cache(cache)
    with failing():
        chosen = get_plan(plan)
        if apex is not None:
            if not executor.startswith(DASK):  # there it is the workers that need it
                searches_of(apex)
            os.environ[APEX_VARIABLE] = str(apex.resolve())
        added = _added_solvers(add_solver or [], apex is not None)
        check_solvers(solver or ())
        settings = Settings(
            named_instances(instance or [], file or [], pattern, cache),
            solver or (),
            tuple(added),
            seeds,
            time_limit,
            workers,
            pattern,
            cache,
            full,
        )
        tasks = [replace(task, target=added.get(task.solver, "")) for task in chosen.tasks(settings)]
        tasks = [task for task in tasks if not only or any(fnmatch(task.instance, glob) for glob in only)]
        tasks = list({task.key: task for task in tasks}.values())  # what two parts of a plan ask for is made once
        if not tasks:
            raise InvalidOptionError(
                f"nothing is left of the plan {plan}: no instance is like {' or '.join(only or [])}"
            )
        at_a_time = jobs or max(1, int(machine()["cores"]) // max(task.workers for task in tasks))
        target = out or RUNS / f"{plan}.jsonl"
        with Journal(target) as journal, open_executor(executor, at_a_time) as (pool, running):
            left = unfinished(tasks, journal, retry_errors)
            journal.append(_header(plan, executor, running, len(left)))
            with _progress(len(left)) as on_row, _interruptible():
                run_tasks(left, journal, pool, running, chosen.verify_work, on_row)
            _conclude(target, [journal.rows[task.key] for task in tasks], len(tasks) - len(left))


def _added_solvers(texts: Sequence[str], with_apex: bool) -> dict[str, str]:
    """Where the solvers are that are not registered, by name; known to this process from now on."""
    added = dict(PEERS) if with_apex else {}
    for text in texts:
        name, _, target = text.partition("=")
        added[name] = target
    for name, target in added.items():
        register_solver(name, target)
    return added


def _header(plan: str, executor: str, jobs: int, left: int) -> Row:
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "format": FORMAT,
        "kind": RUN,
        "plan": plan,
        "command": command,
        "executor": executor.partition(":")[0],
        "jobs": jobs,
        "tasks": left,
        "started": started,
        "machine": machine(),
        "revision": revision(),
    }


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Row], None]]:
    """A bar on stderr, and what is called after each row."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)

        def on_row(row: Row) -> None:
            what = f"{row['instance']}  {row['label']}"
            if is_error(row):
                what += f"  {row['error']['type']}"
            elif row["kind"] == SOLVE:
                what += f"  {row['efficacy']:.2f} %"
            bar.update(task, advance=1, description=what)

        yield on_row


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C, and a polite kill, end the run at once: what is not finished will be made again."""

    def handle(number: int, frame: object) -> None:
        print("bench: interrupted: finished rows are kept, start again to go on", file=sys.stderr)
        # Not through the executor, which would wait for what is running. The processes that measure see their
        # input end and end themselves.
        os._exit(INTERRUPTED)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _conclude(target: Path, rows: Sequence[Row], kept: int) -> None:
    failed = [row for row in rows if is_error(row)]
    printer = console(to_stderr=True)
    text = f"rows: {len(rows)} in {target}, {kept} of them from before; {len(failed)} say why there is no result"
    for line in (text, f"python -m bench report {shlex.quote(str(target))} -o DIR"):
        printer.print(line, soft_wrap=True)
