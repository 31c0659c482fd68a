"""``paper``: the grid that the literature measures, and the large square matrices of the README's table."""

from collections.abc import Iterator

from bench.plans.budgets import by_columns
from bench.plans.plan import Grid, Settings
from bench.plans.task import Task
from permsolve import available_solvers

SIZES = tuple(f"uniform-{rows}x{size}@1" for size in (32, 64, 128, 256) for rows in (size, 2 * size))
SQUARES = tuple(f"uniform-{size}x{size}@1" for size in (256, 512, 1024, 2048))
SQUARE_SECONDS = 60.0
# Of those that can do something with a minute at these sizes.
SQUARE_SOLVERS = ("assignment", "auto", "local-search", "stripe-groups")


def _samples(count: int) -> tuple[str, ...]:
    """Random matrices of the two shapes over whose seeds Pool & Yu average."""
    return tuple(f"uniform-{shape}@{seed}" for shape in ("32x16", "64x128") for seed in range(count))


def tasks(settings: Settings) -> Iterator[Task]:
    """Samples with one seed of the solver each (the matrices differ), sizes with two, squares with one and a minute.

    ``full``: 25 samples of either shape, five seeds for the sizes, every solver on the squares too.
    """
    samples = _samples(25 if settings.full else 5)
    yield from Grid(samples, by_columns, kernels=True).tasks(settings)
    if settings.instances:
        return
    yield from Grid(SIZES, by_columns, seeds=5 if settings.full else 2).tasks(settings)
    solvers = available_solvers() if settings.full else SQUARE_SOLVERS
    yield from Grid(SQUARES, lambda instance: SQUARE_SECONDS, solvers).tasks(settings)
