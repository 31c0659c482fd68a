"""One run of a solver: its seed, its clock, its best permutation so far."""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from permsolve.certificate import Certificate
from permsolve.observers import Incumbent, Observer
from permsolve.permutation import canonical, check_permutation
from permsolve.problem import Problem, meets
from permsolve.status import StopReason
from permsolve.stopping.criterion import Progress, StoppingCriterion, reason_of
from permsolve.stopping.when_set import Flag


@dataclass(frozen=True, slots=True)
class TracePoint:
    """One entry of a trace.

    Attributes
    ----------
    time : float
        Seconds since the search began.
    value : float
        Best value by then.
    bound : float
        Best valid upper bound by then.
    """

    time: float
    value: float
    bound: float


class Run:
    """What the core shares with a solver while it searches.

    Attributes
    ----------
    problem : Problem
        The problem being solved.
    seed : int
        Seed of the run.
    workers : int
        Threads or processes that the solver may use.
    time_limit : float
        Seconds granted, ``inf`` when only other criteria stop the run.
    permutation : ndarray of int64, shape (columns,)
        The best permutation so far, canonical and read-only; the starting permutation at first.
    value : float
        What it keeps, float64.
    bound : float
        Best valid upper bound so far.
    warm : bool
        Whether the caller gave a permutation to start from.
    certificate : Certificate or None
        What proves the bound; None while it is the bound by rows.
    iteration : int
        Iterations that the solver has reported.
    trace : list of TracePoint
        Every improvement of value or bound.
    stop_reason : StopReason or None
        Why the run must stop, once it must.
    notes : dict of str to str
        Remarks of the solver for the result, such as the device that it used.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        initial: ArrayLike | None = None,
        seed: int = 0,
        workers: int = 1,
        time_limit: float = math.inf,
        stop: StoppingCriterion | None = None,
        flags: Sequence[Flag] = (),
        observer: Observer | None = None,
    ) -> None:
        self.problem = problem
        self.seed = seed
        self.workers = workers
        self.time_limit = time_limit
        self.warm = initial is not None
        self.iteration = 0
        self.stop_reason: StopReason | None = None
        self.notes: dict[str, str] = {}
        self._stop = stop
        self._observer = observer
        self._interrupted = threading.Event()
        self._flags = (self._interrupted, *flags)
        self._started = time.perf_counter()
        start = np.arange(problem.columns) if initial is None else check_permutation(initial, problem.columns)
        self.permutation = _frozen(canonical(start, problem.pattern))
        self.value = problem.value(self.permutation)
        self.bound = max(problem.row_bound, self.value)
        self._last_improvement = 0
        self._last_improvement_time = self.elapsed
        self.certificate: Certificate | None = None
        self.trace = [TracePoint(self.elapsed, self.value, self.bound)]

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._started

    @property
    def timed(self) -> bool:
        """Whether the time limit alone will stop the run, so that a solver may plan by the clock.

        A run that other criteria can stop must be planned by iterations, to give the same answer again.
        """
        return self._stop is None and math.isfinite(self.time_limit)

    @property
    def remaining(self) -> float:
        """Seconds left of the time limit, at least 0."""
        return max(0.0, self.time_limit - self.elapsed)

    @property
    def proven(self) -> bool:
        """Whether the best value has reached the bound."""
        return meets(self.value, self.bound)

    def generators(self, count: int) -> list[np.random.Generator]:
        """``count`` independent random generators made from the seed."""
        return [np.random.default_rng(child) for child in np.random.SeedSequence(self.seed).spawn(count)]

    def offer(self, permutation: ArrayLike) -> bool:
        """Report a permutation; it is re-scored in float64 and kept when it beats the best so far.

        Returns
        -------
        bool
            Whether it is the new best.

        Raises
        ------
        InvalidSolutionError
            When it is not a permutation of the problem's columns.
        """
        checked = canonical(check_permutation(permutation, self.problem.columns), self.problem.pattern)
        value = self.problem.value(checked)
        if value <= self.value:
            return False
        self.permutation = _frozen(checked)
        self.value = value
        self.bound = max(self.bound, value)  # equal up to the rounding of two summation orders
        self._last_improvement = self.iteration
        self._last_improvement_time = self.elapsed
        self._record()
        if self._observer is not None:
            self._observer(Incumbent(self.elapsed, self.iteration, self.value, self.bound, self.permutation))
        return True

    def tighten(self, bound: float, certificate: Certificate | None = None) -> None:
        """Report a valid upper bound on the value of every permutation, and what proves it."""
        if bound < self.bound:
            self.bound = max(bound, self.value)
            self._record()
            self.certificate = certificate

    @property
    def interrupted(self) -> bool:
        """Whether :meth:`interrupt` was called, or a flag of the caller is set."""
        return any(flag.is_set() for flag in self._flags)

    def interrupt(self) -> None:
        """Ask the run to stop (what Ctrl-C does); safe from a signal handler or another thread."""
        self._interrupted.set()

    @property
    def cut_short(self) -> bool:
        """Whether Ctrl-C or the time limit ends the run; unlike :meth:`should_stop` safe to ask from any thread."""
        return self.interrupted or self.remaining <= 0.0

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Give a solver that is run inside another one at most ``seconds`` of what is left.

        When that is all that stopped it, the run goes on afterwards.
        """
        whole = self.time_limit
        self.time_limit = min(whole, self.elapsed + seconds)
        try:
            yield
        finally:
            self.time_limit = whole
            if self.stop_reason is StopReason.TIME and self.remaining > 0.0:
                self.stop_reason = None

    @contextmanager
    def afresh(self, seed: int) -> Iterator[None]:
        """Let a solver that is run inside another one begin from its own start, with a seed of its own.

        Without it a second run of the same solver would repeat the first one.
        """
        kept = self.seed, self.warm
        self.seed, self.warm = seed, False
        try:
            yield
        finally:
            self.seed, self.warm = kept

    def should_stop(self, iterations: int = 0) -> bool:
        """Report ``iterations`` more iterations and tell whether the solver must return now.

        Solvers ask between slices of work that take some milliseconds to some tens of them.
        """
        self.iteration += iterations
        if self.stop_reason is None:
            self.stop_reason = self._reason_to_stop()
        return self.stop_reason is not None

    def _reason_to_stop(self) -> StopReason | None:
        if self.interrupted:
            return StopReason.INTERRUPTED
        if self.proven:
            return StopReason.PROVEN
        if self.elapsed >= self.time_limit:
            return StopReason.TIME
        if self._stop is None:
            return None
        progress = Progress(
            self.elapsed,
            self.iteration,
            self.value,
            self.bound,
            self._last_improvement,
            self._last_improvement_time,
        )
        return reason_of(self._stop(progress))

    def _record(self) -> None:
        self.trace.append(TracePoint(self.elapsed, self.value, self.bound))


def _frozen(array: NDArray[np.int64]) -> NDArray[np.int64]:
    array.flags.writeable = False
    return array
