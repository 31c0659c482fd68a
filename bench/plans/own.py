"""``own``: solvers on the instances that the user names."""

from collections.abc import Iterator

from bench.instances import UnknownInstanceError
from bench.plans.budgets import by_columns
from bench.plans.plan import Grid, Settings
from bench.plans.task import Task


def tasks(settings: Settings) -> Iterator[Task]:
    """All solvers, time by size, unless the user says otherwise.

    Raises
    ------
    UnknownInstanceError
        When no instance is named.
    """
    if not settings.instances:
        raise UnknownInstanceError("the plan own has no instances: name some with --instance or --file")
    return Grid((), by_columns).tasks(settings)
