"""The front door: solve a problem with a solver chosen by name."""

import math
import platform
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from permsolve.arithmetic import own_arithmetic
from permsolve.certificate import Certificate
from permsolve.checks import is_number, is_whole
from permsolve.cores import available_cores
from permsolve.errors import InvalidOptionError
from permsolve.observers import Observer
from permsolve.pattern import Pattern
from permsolve.problem import Problem, check_problem
from permsolve.registry import get_solver
from permsolve.result import Result
from permsolve.run import Run, TracePoint
from permsolve.signals import Interrupter
from permsolve.solver import Outcome, Solver
from permsolve.status import Status, StopReason
from permsolve.stopping import AnyOf, MaxIterations, MaxRuntime, StoppingCriterion, WhenSet
from permsolve.stopping.when_set import Flag
from permsolve.versions import versions


@own_arithmetic
def solve(
    problem: Problem,
    solver: str = "auto",
    *,
    time_limit: float | None = None,
    seed: int = 0,
    workers: int | None = None,
    initial: ArrayLike | None = None,
    stop: StoppingCriterion | Sequence[StoppingCriterion] | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Result:
    """Find a column permutation under which the N:M pattern keeps as much saliency as possible.

    Parameters
    ----------
    problem : Problem
        The problem.
    solver : str, default "auto"
        Name of a registered solver (:func:`permsolve.available_solvers`).
    time_limit : float, optional
        Seconds of search. When neither it nor ``stop`` is given, anytime solvers get
        :func:`default_time_limit` of the problem.
    seed : int, default 0
        Same seed and workers, same answer, unless the search is stopped by time.
    workers : int, optional
        Threads to use; all that this process may run on when not given.
    initial : array_like of int, shape (columns,), optional
        Permutation to start from; the result is never worse than it, nor than the given order without it.
    stop : stopping criterion or sequence of them, optional
        See :mod:`permsolve.stopping`; the first that holds stops the search. :class:`.MaxRuntime` is a time limit.
        Where Ctrl-C does not reach the search (outside the main thread, under asyncio, or in a program that handles
        SIGINT itself), :class:`.WhenSet` of a ``threading.Event`` ends it.
    observer : callable, optional
        Called with an :class:`permsolve.Incumbent` at every improvement.
    **options
        Options of the solver.

    Returns
    -------
    Result
        The best permutation found. Ctrl-C (in the main thread, unless the program handles it) ends the search and
        returns it too, with stop reason ``interrupted``; a second Ctrl-C raises KeyboardInterrupt. So does running out
        of memory once something is found (``out of memory``).

    Raises
    ------
    InvalidProblemError, InvalidSolutionError, InvalidOptionError
        When an argument cannot be used.
    UnknownSolverError, SolverUnavailableError, UnsupportedProblemError
        When the solver is not known, lacks a package, or refuses the problem.

    Examples
    --------
    >>> import numpy as np
    >>> from permsolve import Problem, solve
    >>> weight = np.array([[9.0, 8.0, 1.0, 2.0], [7.0, 9.0, 2.0, 1.0]])
    >>> result = solve(Problem.from_weight(weight, "1:2"), "exhaustive")
    >>> result.permutation, result.value, result.baseline
    (array([0, 2, 1, 3]), 33.0, 22.0)
    """
    check_problem("solve", problem)
    if observer is not None and not callable(observer):
        raise InvalidOptionError(f"observer must be callable with an Incumbent, got {observer!r}")
    engine = get_solver(solver, **options)
    criterion = _combined(stop)
    if time_limit is None and criterion is None and engine.capabilities.anytime:
        time_limit = default_time_limit(problem)
    _compile(engine, options.get("device"), problem)
    granted, flags, rest = _split(criterion)
    run = Run(
        problem,
        initial=initial,
        seed=checked_seed(seed),
        workers=checked_workers(workers),
        time_limit=min(checked_time_limit(time_limit), granted),
        stop=rest,
        flags=flags,
        observer=observer,
    )
    with _interruptible(run):
        outcome = _searched(engine, problem, run)
    if run.interrupted and run.stop_reason is None:  # a solver too quick to ask
        run.stop_reason = StopReason.INTERRUPTED
    if outcome.bound is not None:
        run.tighten(outcome.bound, outcome.certificate)
    if outcome.proven:
        run.tighten(run.value, outcome.certificate or Certificate("solver", run.value))
    runtime = run.elapsed
    return Result(
        permutation=run.permutation,
        pattern=problem.pattern,
        saliency=problem.saliency_name,
        value=run.value,
        baseline=problem.baseline,
        row_bound=problem.row_bound,
        bound=run.bound,
        status=Status.OPTIMAL if run.proven else Status.FEASIBLE,
        stop_reason=run.stop_reason or (StopReason.PROVEN if run.proven else StopReason.COMPLETED),
        runtime=runtime,
        time_limit=run.time_limit,
        iterations=run.iteration,
        trace=(*run.trace, TracePoint(runtime, run.value, run.bound)),
        solver=solver,
        seed=run.seed,
        workers=run.workers,
        options=dict(options),
        versions=dict(_versions(engine.capabilities.needs)),
        proof=run.certificate,
        notes=dict(run.notes),
    )


def _searched(engine: Solver, problem: Problem, run: Run) -> Outcome:
    """What a solver comes to; what it has found by then when it runs out of memory.

    Raises
    ------
    MemoryError
        When it has found nothing yet.
    """
    begun = (run.value, run.bound)
    try:
        return engine.solve(problem, run)
    except MemoryError as error:
        if (run.value, run.bound) == begun:
            raise
        run.stop_reason = StopReason.MEMORY
        run.notes["memory"] = f"ran out of memory: the best found before ({error})".removesuffix(" ()")
        return Outcome()


def default_time_limit(problem: Problem) -> float:
    """Seconds granted to an anytime solver when the caller names no limit: from 1 to 120, by size.

    It grows with the cost of one full exchange matrix, columns * columns * rows.
    """
    return default_seconds(float(problem.columns) ** 2 * problem.rows)


def default_seconds(work: float) -> float:
    """:func:`default_time_limit` of a problem with so many columns * columns * rows."""
    return float(round(min(120.0, max(1.0, 4.0 * (work / 1e7) ** 0.5)), 1))


def checked_time_limit(time_limit: float | None) -> float:
    """Seconds, ``inf`` for None; refused unless > 0."""
    if time_limit is None:
        return math.inf
    if not is_number(time_limit) or not time_limit > 0:
        raise InvalidOptionError(f"time_limit must be a number of seconds > 0, got {time_limit!r}")
    return float(time_limit)


def checked_seed(seed: int) -> int:
    """The seed as an int; refused unless a whole number >= 0."""
    if not is_whole(seed) or seed < 0:
        raise InvalidOptionError(f"seed must be a whole number >= 0, got {seed!r}")
    return int(seed)


def checked_workers(workers: int | None) -> int:
    """Threads to use, all there are for None; refused unless >= 1."""
    if workers is None:
        return available_cores()
    if not is_whole(workers) or workers < 1:
        raise InvalidOptionError(f"workers must be a whole number >= 1, got {workers!r}")
    return int(workers)


def _combined(stop: StoppingCriterion | Sequence[StoppingCriterion] | None) -> StoppingCriterion | None:
    if stop is None or callable(stop):
        return stop
    if not isinstance(stop, Sequence) or isinstance(stop, str | bytes):
        raise InvalidOptionError(f"stop must be a stopping criterion or a list of them, got {stop!r}")
    return AnyOf(*stop) if stop else None


def _split(criterion: StoppingCriterion | None) -> tuple[float, list[Flag], StoppingCriterion | None]:
    """The seconds that a criterion grants, its flags, and what it asks for besides: solvers can plan by the clock.

    :class:`MaxRuntime`, alone or as one of several any of which stops, is a time limit, and :class:`WhenSet` a flag.
    """
    if isinstance(criterion, MaxRuntime):
        return criterion.seconds, [], None
    if isinstance(criterion, WhenSet):
        return math.inf, [criterion.flag], None
    if not isinstance(criterion, AnyOf):
        return math.inf, [], criterion
    parts = [_split(part) for part in criterion.criteria]
    flags = [flag for _, some, _ in parts for flag in some]
    others = [rest for _, _, rest in parts if rest is not None]
    return min((seconds for seconds, _, _ in parts), default=math.inf), flags, AnyOf(*others) if others else None


@own_arithmetic
def compile_kernels(solver: str, problem: Problem) -> None:
    """Compile what a solver needs for a problem, or load it from the cache: :func:`solve` will not do it again.

    Raises
    ------
    UnknownSolverError, SolverUnavailableError
        When the solver is not known, or lacks a package.
    """
    _compile(get_solver(solver), None, problem)


def _compile(solver: Solver, device: str | None, problem: Problem) -> None:
    for name in solver.capabilities.members:
        compile_kernels(name, problem)
    if solver.capabilities.compiled:
        _warm_up(type(solver), device, _kind(problem.pattern), problem.padded.dtype.char)


def _kind(pattern: Pattern) -> Pattern:
    """A small pattern whose problems take the same kernels: pairs, 2:4, one kept, several kept."""
    if pattern.m == 2 or (pattern.n, pattern.m) == (2, 4):
        return pattern
    return Pattern(min(pattern.n, 2), 3)


@lru_cache(maxsize=256)
def _warm_up(solver: type[Solver], device: str | None, pattern: Pattern, dtype: str) -> None:
    """Run a solver on a tiny problem that no solver proves at once, so that its kernels are compiled.

    On the device that was chosen, if one was: with enough rows there that they are cut into parts.
    """
    capabilities = solver.capabilities
    rows = 2048 if device == "cuda" else 64
    columns = pattern.group_count(capabilities.warm_up_columns) * pattern.m
    saliency = np.random.default_rng(0).random((rows, columns)).astype(dtype)
    problem = Problem(saliency, pattern)
    options = {} if device is None else {"device": device}
    for each in capabilities.warm_up_options:
        solver(**options, **each).solve(problem, Run(problem, stop=MaxIterations(capabilities.warm_up)))


@contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """Let the first Ctrl-C end the run with what it has; only the main thread can do that.

    So do the other signals that end the program by a KeyboardInterrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in map(int, signal.valid_signals())}
    # Where the application has its own idea of a signal, that is left alone.
    ends = {number: handler for number, handler in previous.items() if _interrupts(handler)}

    def handle(number: int, frame: FrameType | None) -> None:
        restore()
        if isinstance(handler := ends[number], Interrupter):
            handler.take(number)
        run.interrupt()

    def restore() -> None:
        for number, handler in ends.items():
            signal.signal(number, handler)

    if any(isinstance(handler, Interrupter) and handler.heard for handler in ends.values()):
        run.interrupt()  # before the search, where the exception got lost
    try:
        for number in ends:
            signal.signal(number, handle)
        yield
    finally:
        restore()


def _interrupts(handler: object) -> bool:
    """Whether a handler of signals ends the main thread by a KeyboardInterrupt."""
    return handler is signal.default_int_handler or isinstance(handler, Interrupter)


@lru_cache(maxsize=8)
def _versions(needs: tuple[str, ...]) -> dict[str, str]:
    return {"python": platform.python_version(), **versions("permsolve", "numpy", "numba", "scipy", *needs)}
