"""Running plans: any executor, rows that survive whatever kills the run, one judge for every solver."""

from bench.runner.executors import open_executor
from bench.runner.journal import Journal, JournalInUseError, read_rows, read_runs
from bench.runner.row import Row, is_error, unpack_permutation
from bench.runner.running import run_tasks, unfinished

__all__ = [
    "Journal",
    "JournalInUseError",
    "Row",
    "is_error",
    "open_executor",
    "read_rows",
    "read_runs",
    "run_tasks",
    "unfinished",
    "unpack_permutation",
]
