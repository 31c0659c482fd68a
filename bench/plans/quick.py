"""``quick``: every solver on small instances of each kind, in less than three minutes on two cores."""

from collections.abc import Iterator

from bench.plans.plan import Grid, Settings
from bench.plans.task import Task

INSTANCES = (
    "uniform-32x16@0",
    "uniform-64x32@1",
    "uniform-128x64@1",
    "digits",
    "planted-64x32@1",
    "sparse60-64x32@1+1:2",
    "student-64x32@1+4:8",
)
SECONDS = 1.0


def tasks(settings: Settings) -> Iterator[Task]:
    """One second and one thread for each: on two cores, two run at a time."""
    return Grid(INSTANCES, lambda instance: SECONDS, workers=1, kernels=True).tasks(settings)
