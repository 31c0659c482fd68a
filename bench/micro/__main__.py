"""Speed of the kernels beside the machine's own limit: ``python -m bench.micro``."""

import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.micro.arithmetic_limit import arithmetic_limit
from permsolve import Problem
from permsolve.kernels.exchange import exchange
from permsolve.permutation import to_groups

SIZES = ((128, 64), (256, 256), (512, 512), (1024, 1024), (1024, 128))
PATTERNS = ("2:4", "1:2", "4:8")
REPEATS = 7


def _best(run: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs, after one that is not counted."""
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def exchange_speed(rows: int, columns: int, pattern: str) -> float:
    """Maxima-and-additions per second of the full exchange matrix, in one thread."""
    problem = Problem(np.random.default_rng(0).random((rows, columns), dtype=np.float32), pattern)
    groups = to_groups(np.arange(columns), problem.pattern)
    m = problem.pattern.m
    members = np.column_stack([np.repeat(np.arange(len(groups)), m), np.tile(np.arange(m), len(groups))])
    order = np.arange(columns)
    out = np.empty((columns, columns), np.float32)
    seconds = _best(
        lambda: exchange(problem.working, groups, members, problem.pattern.n, order, 0, out, groups.ravel())
    )
    return columns * columns * rows / seconds


def main() -> None:
    """Print the table."""
    limit = arithmetic_limit()
    table = Table(title="exchange matrix, one core, 10^9 maxima-and-additions per second")
    for heading in ("rows x columns", "pattern", "speed", "share of the limit"):
        table.add_column(heading, justify="right")
    for rows, columns in SIZES:
        for pattern in PATTERNS:
            speed = exchange_speed(rows, columns, pattern)
            table.add_row(f"{rows} x {columns}", pattern, f"{speed / 1e9:.1f}", f"{100 * speed / limit:.0f} %")
    table.add_section()
    table.add_row("in registers", "-", f"{limit / 1e9:.1f}", "100 %")
    Console().print(table)


if __name__ == "__main__":
    main()
