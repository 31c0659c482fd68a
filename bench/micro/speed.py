"""Speed of the kernels, to be held beside the machine's own limit."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve import Pattern, Problem
from permsolve.kernels.coarse import coarse
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


def exchange_inputs(
    problem: Problem, saliency: NDArray[np.uint8] | None = None
) -> tuple[tuple[Any, ...], NDArray[np.float32]]:
    """Arguments of the exchange kernel for the whole matrix in the given order, and the array that it fills.

    Of the float32 saliency, unless a coarse one is given.
    """
    columns, m = problem.padded.shape[0], problem.pattern.m
    groups = to_groups(np.arange(problem.columns), problem.pattern)
    members = np.column_stack([np.repeat(np.arange(len(groups)), m), np.tile(np.arange(m), len(groups))])
    out = np.empty((columns, columns), np.float32)
    order = np.arange(columns)
    x = problem.working if saliency is None else saliency
    return (x, groups, members, problem.pattern.n, order, 0, out, groups.ravel()), out


def exchange_speed(rows: int, columns: int, pattern: Pattern | str, *, in_bytes: bool = False) -> float:
    """Entries of the saliency per second that the full exchange matrix looks at, in one thread.

    Each is a maximum and an addition in float32, an absolute difference and an addition in bytes.
    """
    problem = Problem(np.random.default_rng(0).random((rows, columns), dtype=np.float32), pattern)
    saliency = coarse(problem.working, columns, problem.pattern)[0] if in_bytes else None
    arguments, _ = exchange_inputs(problem, saliency)
    return columns * columns * rows / _best(lambda: exchange(*arguments))
