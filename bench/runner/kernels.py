"""Measuring the exchange kernel beside what the machine can do at best."""

from functools import lru_cache

from bench.instances import get_instance
from bench.micro.speed import exchange_speed
from bench.plans import Task
from bench.runner.row import Row, base_row


def kernel_row(task: Task) -> Row:
    """Speed of the full exchange matrix in one thread, in maxima-and-additions per second."""
    row = base_row(task)
    instance = get_instance(task.instance)
    speed = exchange_speed(instance.rows, instance.columns, instance.pattern)
    return row | {
        "rows": instance.rows,
        "columns": instance.columns,
        "pattern": str(instance.pattern),
        "speed": speed,
        "limit": _limit(),
    }


@lru_cache(maxsize=1)
def _limit() -> float:
    from bench.micro.arithmetic_limit import arithmetic_limit

    return arithmetic_limit()
