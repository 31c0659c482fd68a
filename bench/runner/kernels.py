"""Measuring the exchange kernels beside what the machine can do at best."""

from functools import lru_cache

from bench.instances import get_instance
from bench.micro.speed import exchange_speed
from bench.plans import IN_BYTES, Task
from bench.runner.row import Row, base_row


def kernel_row(task: Task) -> Row:
    """Speed of the full exchange matrix in one thread, in entries of the saliency per second."""
    row = base_row(task)
    instance = get_instance(task.instance)
    in_bytes = task.solver == IN_BYTES
    speed = exchange_speed(instance.rows, instance.columns, instance.pattern, in_bytes=in_bytes)
    return row | {
        "rows": instance.rows,
        "columns": instance.columns,
        "pattern": str(instance.pattern),
        "speed": speed,
        "limit": _limit(in_bytes),
    }


@lru_cache(maxsize=2)
def _limit(in_bytes: bool) -> float:
    if in_bytes:
        from bench.micro.byte_limit import byte_limit

        return byte_limit()
    from bench.micro.arithmetic_limit import arithmetic_limit

    return arithmetic_limit()
