"""Speed of the kernels, to be held beside the machine's own limit."""

import time
from collections.abc import Callable

import numpy as np

from permsolve import Pattern, Problem
from permsolve.kernels.exchange import exchange
from permsolve.permutation import to_groups

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


def exchange_speed(rows: int, columns: int, pattern: Pattern | str) -> float:
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
