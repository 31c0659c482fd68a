"""``quick``: every solver on small instances of each kind, in less than three minutes on two cores."""

from collections.abc import Iterator
from dataclasses import replace

from bench.instances import pruned
from bench.plans.plan import Grid, Settings
from bench.plans.task import Task

# Three sizes of squares, so that there is some scaling to be seen.
INSTANCES = (
    "uniform-32x16@0",
    "uniform-32x32@1",
    "uniform-64x64@1",
    "uniform-128x64@1",
    "uniform-128x128@1",
    "digits",
    "planted-64x32@1",
    "sparse60-64x32@1+1:2",
    "student-64x32@1+4:8",
)
SECONDS = 1.0
# A glimpse of the plan `lossless`.
PRUNED, PERCENTS = "uniform-64x32@1", (55, 65, 75, 85)
PRUNED_SOLVERS = ("auto", "stripe-groups")


def tasks(settings: Settings) -> Iterator[Task]:
    """One second and one thread for each: on two cores, two run at a time."""
    grid = Grid(INSTANCES, lambda instance: SECONDS, workers=1, kernels=True)
    yield from grid.tasks(settings)
    if settings.instances:
        return
    steps = [pruned(one, percent / 100.0) for one in settings.chosen_instances([PRUNED]) for percent in PERCENTS]
    yield from replace(grid, solvers=PRUNED_SOLVERS).tasks(replace(settings, instances=steps))
