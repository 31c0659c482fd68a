"""Measuring one solver on one instance, in this process."""

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.instances import find_instance
from bench.plans import Task
from bench.runner.machine import memory_now, peak_memory, reset_peak_memory
from bench.runner.rescoring import check_optimum, check_value, kept_magnitude
from bench.runner.row import Row, base_row, pack_permutation, thinned, unpack_permutation
from permsolve import Pattern, Problem, solve, verify
from permsolve.errors import PermsolveError
from permsolve.registry import register_solver

OnPhase = Callable[[str], None]
WARM_UP_SECONDS = 0.2


def solve_row(task: Task, verify_work: int, on_phase: OnPhase) -> Row:
    """Run a solver and judge what it returns.

    Before the clock starts, the weight is made and the solver has run for a moment on a tiny problem of the same
    type and pattern, so that nothing is compiled or loaded within its time. Afterwards the value is computed anew
    from the weight (:mod:`bench.runner.rescoring`), and permutation, value, bound and certificate are checked by
    :func:`permsolve.verify`.

    Parameters
    ----------
    task : Task
        What to run.
    verify_work : int
        Group entries that the check of the certificate may look at.
    on_phase : callable
        Told ``"solve"`` when the clock starts and ``"check"`` when it has stopped.

    Raises
    ------
    Exception
        Whatever the solver raises; WrongValueError or InvalidCertificateError when its answer does not hold.
    """
    row = base_row(task)
    if task.target:
        register_solver(task.solver, task.target)
    instance = find_instance(task.instance, Path(task.file) if task.file else None)
    weight = instance.make()
    problem = Problem.from_weight(weight, instance.pattern)
    # What other tasks say is known by now.
    assert isinstance(task.time_limit, float | int)
    assert isinstance(task.initial, str)
    initial = unpack_permutation(task.initial, instance.columns) if task.initial else None
    warm_up = _warm_up(task.solver, tuple(sorted(task.options)), problem.padded.dtype.char, instance.pattern)
    gc.collect()
    reset_peak_memory()
    before = memory_now()
    on_phase("solve")
    cpu, wall = time.process_time(), time.perf_counter()
    result = solve(
        problem,
        task.solver,
        time_limit=task.time_limit,
        seed=task.seed,
        workers=task.workers,
        initial=initial,
        **task.options,
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_memory()
    on_phase("check")
    start = time.perf_counter()
    check_value(result.value, kept_magnitude(weight, result.permutation, instance.pattern.n, instance.pattern.m))
    optimum = instance.optimum
    if optimum is not None:
        check_optimum(result.value, result.bound, optimum)
    verification = verify(problem, result, max_work=verify_work)
    return row | {
        "family": instance.family,
        "rows": problem.rows,
        "columns": problem.columns,
        "pattern": str(instance.pattern),
        "value": result.value,
        "total": problem.total,
        "baseline": result.baseline,
        "initial": None if initial is None else problem.value(initial),
        "row_bound": result.row_bound,
        "efficacy": result.efficacy,
        "bound": result.bound,
        "gap": result.gap,
        "optimum": optimum,
        "status": str(result.status),
        "stop_reason": str(result.stop_reason),
        "iterations": result.iterations,
        "runtime": result.runtime,
        "wall": wall,
        "cpu": cpu,
        "warm_up": warm_up,
        "check": time.perf_counter() - start,
        "memory_before": before,
        "memory_peak": peak,
        "checked": list(verification.checked),
        "unchecked": list(verification.unchecked),
        "trace": thinned(result.trace),
        "permutation": pack_permutation(result.permutation),
        "versions": dict(result.versions),
    }


@lru_cache(maxsize=256)
def _warm_up(solver: str, options: tuple[str, ...], dtype: str, pattern: Pattern) -> float:
    """Run a solver for a moment on a tiny problem, once in a process; the seconds that it took."""
    start = time.perf_counter()
    matrix = np.random.default_rng(0).random((16, 4 * pattern.m)).astype(dtype)
    # When it refuses the tiny problem, what it does to the real one is what the row will say.
    with suppress(PermsolveError):
        solve(Problem(matrix, pattern), solver, time_limit=WARM_UP_SECONDS)
    return time.perf_counter() - start
