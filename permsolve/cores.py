"""How many cores there are, and work for all of them."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Entries of a matrix from which threads pay: tens of milliseconds of one core.
LARGE = 1 << 25


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def granted_threads(wanted: int) -> int:
    """How many of so many threads the system lets this process have beside those that it has."""
    release = threading.Event()
    started: list[threading.Thread] = []
    try:
        with suppress(RuntimeError):  # Python's word for a limit of threads or of memory
            for _ in range(wanted):
                thread = threading.Thread(target=release.wait)
                thread.start()
                started.append(thread)
    finally:
        release.set()
        for thread in started:
            thread.join()
    return len(started)


class Threads(ThreadPoolExecutor):
    """A pool of as many threads as the system grants; without any the caller does the work when it submits it.

    Parameters
    ----------
    workers : int
        Most threads.
    """

    def __init__(self, workers: int) -> None:
        granted = granted_threads(workers)
        super().__init__(max(1, granted))
        self.any = granted > 0

    def submit(self, fn: Callable[..., Answer], /, *args: Any, **kwargs: Any) -> Future[Answer]:
        """Have a function called, in a thread where there is one, with the caller's error state of numpy."""
        if self.any:
            return super().submit(copy_context().run, fn, *args, **kwargs)
        done: Future[Answer] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # raised where the result is asked for
            done.set_exception(error)
        return done


def mapped(task: Callable[[Item], Answer], items: Iterable[Item], entries: int) -> Iterator[Answer]:
    """What a task that releases the interpreter lock makes of each item, in their order.

    Where the items hold many entries in all, they are worked on by all cores, and taken as these get free.
    """
    cores = available_cores() if entries >= LARGE else 1
    if cores == 1:
        yield from map(task, items)
        return
    with Threads(cores) as pool:
        waiting: deque[Future[Answer]] = deque()
        for item in items:
            waiting.append(pool.submit(task, item))
            if len(waiting) > cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
