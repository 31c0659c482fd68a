"""Rows of a layer side by side, each with linear algebra of its own."""

from collections.abc import Callable
from functools import cache

from threadpoolctl import ThreadpoolController

from permsolve.cores import Threads, available_cores

# Parts per thread, and most rows of a part: so that threads end together, and Ctrl-C need not wait long.
_PARTS = 4
_MOST_ROWS = 64


def each_part(task: Callable[[slice], None], rows: int) -> None:
    """Call ``task`` with slices of the rows, in all cores, where BLAS uses one thread.

    Decompositions of some hundred inputs are too small for the threads of BLAS, and numpy's and scipy's wait for
    the same cores: a row is up to eleven times slower with them (measured on 2 cores).
    """
    threads = min(rows, available_cores())
    size = max(1, min(_MOST_ROWS, -(-rows // (_PARTS * max(1, threads)))))
    parts = [slice(start, start + size) for start in range(0, rows, size)]
    with _controller().limit(limits=1, user_api="blas"), Threads(max(1, threads)) as pool:
        try:
            list(pool.map(task, parts))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@cache
def _controller() -> ThreadpoolController:
    """Numpy's and scipy's BLAS are loaded by now; looking for them takes milliseconds."""
    return ThreadpoolController()
