"""How many cores there are, and work for all of them."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Entries of a matrix from which threads pay: tens of milliseconds of one core.
LARGE = 1 << 25


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def mapped(task: Callable[[Item], Answer], items: Iterable[Item], entries: int) -> Iterator[Answer]:
    """What a task that releases the interpreter lock makes of each item, in their order.

    Where the items hold many entries in all, they are worked on by all cores, and taken as these get free.
    """
    cores = available_cores() if entries >= LARGE else 1
    if cores == 1:
        yield from map(task, items)
        return
    with ThreadPoolExecutor(cores) as pool:
        waiting: deque[Future[Answer]] = deque()
        for item in items:
            waiting.append(pool.submit(task, item))
            if len(waiting) > cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
