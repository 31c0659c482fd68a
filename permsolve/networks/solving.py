"""Solve the problems of all groups: one after the other, or side by side on an executor."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from functools import partial
from typing import Any

from permsolve.api import solve
from permsolve.networks.stacking import Stack
from permsolve.networks.worth import Worth
from permsolve.pattern import Pattern
from permsolve.result import Result
from permsolve.status import StopReason
from permsolve.stopping import StoppingCriterion

# Makes a problem, and what else solve is called with: only where it is needed, and not kept longer.
Arguments = Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]

_LOGGER = logging.getLogger(__name__)
ATTEMPTS = 3
SHORTEST = 0.02
# What executors of other packages raise when a worker is gone; they are not imported for their exceptions.
_LOST = {
    "KilledWorker",
    "CommClosedError",
    "WorkerCrashedError",
    "NodeDiedError",
    "TerminatedWorkerError",
}


def solve_all(
    stacks: Sequence[Stack],
    pattern: Pattern,
    worth: Worth,
    *,
    solver: str,
    time_limit: float,
    stop: StoppingCriterion | Sequence[StoppingCriterion] | None = None,
    seed: int,
    workers: int | None,
    executor: Executor | None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Solve each problem within its share of the time, by work, or until a stopping criterion holds for it.

    Without an executor one problem at a time is in memory. With one, all are submitted at once; a problem whose worker
    is lost is given to another, and after three losses solved here.

    Raises
    ------
    KeyboardInterrupt
        At Ctrl-C, whether that came between two searches or ended one; problems that no worker has begun with are
        taken back then, as at any error.
    """
    total = sum(stack.work for stack in stacks)

    def arguments(stack: Stack) -> tuple[tuple[Any, ...], dict[str, Any]]:
        limit = max(SHORTEST, time_limit * stack.work / total)
        return (stack.problem(pattern, worth), solver), {
            "time_limit": limit,
            "stop": stop,
            "seed": seed,
            "workers": workers,
        }

    futures: list[Future[Result] | None] = []
    results: list[Result] = []
    try:
        if executor is None:
            answers = (_solved(partial(arguments, stack)) for stack in stacks)
        else:
            for stack in stacks:
                futures.append(_submitted(executor, *arguments(stack)))
            answers = (
                _result(executor, future, partial(arguments, stack))
                for stack, future in zip(stacks, futures, strict=True)
            )
        for result in answers:
            results.append(uninterrupted(result))
            if progress is not None:
                progress(len(results), len(stacks))
    except BaseException:  # nobody waits for the others any more
        for future in futures:
            if future is not None:
                future.cancel()
        raise
    return results


def uninterrupted(result: Result) -> Result:
    """A result as it is; where Ctrl-C ended its search, that is meant for all searches.

    Raises
    ------
    KeyboardInterrupt
        When Ctrl-C ended the search.
    """
    if result.stop_reason is StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    return result


def _submitted(executor: Executor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Future[Result] | None":
    try:
        return executor.submit(solve, *args, **kwargs)
    except BrokenExecutor:
        return None


def _result(
    executor: Executor,
    future: "Future[Result] | None",
    arguments: Arguments,
) -> Result:
    """Wait for a result, and ask again when its worker is lost."""
    for attempt in range(1, ATTEMPTS + 1):
        if future is None:
            break
        try:
            return future.result()
        except Exception as error:
            if (
                not isinstance(error, BrokenExecutor | CancelledError | ConnectionError)
                and type(error).__name__ not in _LOST
            ):
                raise
            _LOGGER.warning("a worker was lost (%s), attempt %d of %d", error, attempt, ATTEMPTS)
            future = _submitted(executor, *arguments()) if attempt < ATTEMPTS else None
    return _solved(arguments)


def _solved(arguments: Arguments) -> Result:
    args, kwargs = arguments()
    return solve(*args, **kwargs)
