"""Where tasks are run: threads or processes of this machine, or a dask cluster."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any

from permsolve.errors import InvalidOptionError

DASK = "dask://"
KINDS = f"process, thread or {DASK}HOST:PORT"
# A dask task whose worker dies is run again on another one this many times.
RETRIES = 3
# Seconds that a scheduler has to answer.
DASK_TIMEOUT = 10.0


@contextmanager
def open_executor(name: str, jobs: int) -> Iterator[tuple[Executor, int]]:
    """An executor, and how many tasks it runs at a time.

    Whichever it is, each of its threads keeps one process of its own in which the measuring is done
    (:mod:`bench.runner.supervision`).

    Parameters
    ----------
    name : str
        ``"process"``, ``"thread"`` or ``"dask://host:port"``, the address of a scheduler, whose workers must be able
        to import bench.
    jobs : int
        Tasks at a time; a dask cluster has its own number of threads.

    Raises
    ------
    InvalidOptionError
        When the name is none of these, dask is not installed, or the scheduler does not answer.
    """
    if name == "thread":
        pool: Executor = ThreadPoolExecutor(jobs)
    elif name == "process":
        pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_end_with_parent)
    elif name.startswith(DASK):
        with _dask(name.removeprefix(DASK)) as (pool, threads):
            yield pool, threads
        return
    else:
        raise InvalidOptionError(f"no executor {name!r}: choose {KINDS}")
    try:
        yield pool, jobs
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """Ctrl-C ends a worker at once and quietly, and so does the end of the process that it works for."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    # A pool's workers hold both ends of their queue: they would wait for ever for a parent that was killed.
    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _dask(address: str) -> Iterator[tuple[Executor, int]]:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise InvalidOptionError(f"{error.name} is needed for dask://: pip install -e '.[bench]'") from error
    try:
        client: Any = Client(address, timeout=DASK_TIMEOUT)
    except OSError as error:
        raise InvalidOptionError(f"dask://{address}: no scheduler answers there ({error})") from error
    with client:
        yield client.get_executor(retries=RETRIES, pure=False), max(1, sum(client.nthreads().values()))
