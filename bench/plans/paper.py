"""``paper``: the grid that the literature measures, and the large square matrices of the README's table."""

from collections.abc import Iterator

from bench.plans.budgets import by_columns
from bench.plans.plan import Grid, Settings
from bench.plans.task import Task

SIZES = tuple(f"uniform-{rows}x{size}@1" for size in (32, 64, 128, 256) for rows in (size, 2 * size))
SQUARES = ("uniform-512x512@1", "uniform-1024x1024@1", "uniform-2048x2048@1")
# Of those that can do something with a minute at these sizes.
SQUARE_SOLVERS = ("assignment", "auto", "local-search", "stripe-groups")


def _samples(count: int) -> tuple[str, ...]:
    """Random matrices of the two shapes over whose seeds Pool & Yu average."""
    return tuple(f"uniform-{shape}@{seed}" for shape in ("32x16", "64x128") for seed in range(count))


def tasks(settings: Settings) -> Iterator[Task]:
    """Samples with one seed of the solver each (the matrices differ), sizes with two, large squares with one.

    ``full``: 25 samples of either shape, five seeds for the sizes, every solver on the squares too.
    """
    samples = _samples(25 if settings.full else 5)
    yield from Grid(samples, by_columns, kernels=True).tasks(settings)
    if settings.instances:
        return
    yield from Grid(SIZES, by_columns, seeds=5 if settings.full else 2).tasks(settings)
    squares = Grid(SQUARES, by_columns) if settings.full else Grid(SQUARES, by_columns, SQUARE_SOLVERS)
    yield from squares.tasks(settings)
