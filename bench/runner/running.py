"""Running the tasks of a plan that are not finished yet."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import replace

from bench.plans import Found, Share, Task
from bench.runner.journal import Journal
from bench.runner.row import Row, error_row, is_error
from bench.runner.supervision import measure_apart

OnRow = Callable[[Row], None]


def unfinished(tasks: Iterable[Task], journal: Journal, retry_errors: bool = False) -> list[Task]:
    """The tasks that the journal holds no row of, each once; with ``retry_errors`` also those whose row is an error."""
    known = {key for key, row in journal.rows.items() if not (retry_errors and is_error(row))}
    return [task for task in {task.key: task for task in tasks}.values() if task.key not in known]


def run_tasks(
    tasks: Iterable[Task], journal: Journal, executor: Executor, jobs: int, verify_work: int, on_row: OnRow
) -> None:
    """Run tasks and append each row as soon as it is there.

    Parameters
    ----------
    tasks : iterable of Task
        What is to be run. One whose time limit is a share of another's time, or that starts from what another finds,
        waits for that one's row.
    journal : Journal
        Where rows go, and where the rows of earlier runs are.
    executor : Executor
        Any executor of :mod:`concurrent.futures`.
    jobs : int
        How many tasks it runs at a time; one more waits, so that none stands idle.
    verify_work : int
        See :class:`bench.plans.Plan`.
    on_row : callable
        Called after each row.
    """
    waiting = deque(tasks)
    running: dict[Future[Row], Task] = {}

    def finish(task: Task, row: Row) -> None:
        # The key is that of the plan's task, also when what depends on other tasks was settled only now.
        journal.append({**row, "key": task.key, "label": task.name})
        on_row(row)

    try:
        while waiting or running:
            held: list[Task] = []
            while waiting and len(running) <= jobs:
                task = waiting.popleft()
                if task.needs and any(other.key in task.needs for other in (*running.values(), *waiting)):
                    held.append(task)
                    continue
                settled = _settled(task, journal)
                if isinstance(settled, Task):
                    running[executor.submit(measure_apart, settled.to_dict(), verify_work)] = task
                else:
                    finish(task, error_row(task, "NoReference", settled))
            waiting.extendleft(reversed(held))
            if not running:
                continue
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                broken = future.exception()  # not the solver's fault: a lost worker, a broken pool
                row = future.result() if broken is None else error_row(task, type(broken).__name__, str(broken))
                finish(task, row)
    finally:
        for future in running:
            future.cancel()


def _settled(task: Task, journal: Journal) -> Task | str:
    """The task with what it takes from the rows of others; or why it cannot be run."""
    for key in task.needs:
        row = journal.rows.get(key)
        if row is None:
            return "the run that it depends on was left out"
        if is_error(row):
            return "the run that it depends on failed"
    limit, initial = task.time_limit, task.initial
    if isinstance(limit, Share):
        limit = round(max(limit.least, limit.factor * journal.rows[limit.of]["runtime"]), 4)
    if isinstance(initial, Found):
        initial = journal.rows[initial.by]["permutation"]
    return replace(task, time_limit=limit, initial=initial)
