"""Speed of the kernels, to be held beside the machine's own limit."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def exchange_inputs(problem: Problem) -> tuple[tuple[Any, ...], NDArray[np.float32]]:
    """Arguments of the exchange kernel for the whole matrix in the given order, and the array that it fills."""
    columns, m = problem.padded.shape[0], problem.pattern.m
    groups = to_groups(np.arange(problem.columns), problem.pattern)
    members = np.column_stack([np.repeat(np.arange(len(groups)), m), np.tile(np.arange(m), len(groups))])
    out = np.empty((columns, columns), np.float32)
    order = np.arange(columns)
    return (problem.working, groups, members, problem.pattern.n, order, 0, out, groups.ravel()), out


def exchange_speed(rows: int, columns: int, pattern: Pattern | str) -> float:
    """Maxima-and-additions per second of the full exchange matrix, in one thread."""
    arguments, _ = exchange_inputs(Problem(np.random.default_rng(0).random((rows, columns), dtype=np.float32), pattern))
    return columns * columns * rows / _best(lambda: exchange(*arguments))
