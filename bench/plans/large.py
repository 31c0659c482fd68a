"""``large``: shapes of language models."""

from collections.abc import Iterator

from bench.instances import SETS
from bench.plans.plan import Grid, Settings
from bench.plans.task import Task

SOLVERS = ("assignment", "auto", "channel-swap", "greedy", "identity", "local-search", "ria", "stripe-groups")
SECONDS, FULL_SECONDS = 120.0, 600.0


def tasks(settings: Settings) -> Iterator[Task]:
    """Two minutes each; ``full``: ten. The largest matrix needs some 8 GB of memory."""
    seconds = FULL_SECONDS if settings.full else SECONDS
    return Grid(SETS["lm"], lambda instance: seconds, SOLVERS).tasks(settings)
