"""``paper``: the grid that the literature measures, and the large square matrices of the README's table."""

from collections.abc import Iterator
from dataclasses import replace

from bench.instances import get_instance
from bench.plans.budgets import by_columns
from bench.plans.plan import Grid, Settings
from bench.plans.task import Task
from permsolve import available_solvers

SIZES = tuple(f"uniform-{rows}x{size}@1" for size in (32, 64, 128, 256) for rows in (size, 2 * size))
SQUARES = tuple(f"uniform-{size}x{size}@1" for size in (256, 512, 1024, 2048))
SQUARE_SECONDS = 60.0
# Of those that can do something with a minute at these sizes.
SQUARE_SOLVERS = ("assignment", "auto", "local-search", "stripe-groups")
# Pool & Yu's search, and how it is called when it may take its time.
PUBLISHED, BEST_LABEL, ESCAPES = "stripe-groups", "stripe-groups, best", 1000
# Most columns whose windows of three groups are all tried within a minute.
WIDEST_THREE = 256


def _samples(count: int) -> tuple[str, ...]:
    """Random matrices of the two shapes over whose seeds Pool & Yu average."""
    return tuple(f"uniform-{shape}@{seed}" for shape in ("32x16", "64x128") for seed in range(count))


def tasks(settings: Settings) -> Iterator[Task]:
    """Samples with one seed of the solver each (the matrices differ), sizes with two, squares with one and a minute.

    The published search also runs at its best: with windows of three groups where they are not too many, and escapes
    from local optima until the time is up. ``full``: 25 samples of either shape, five seeds for the sizes, every
    solver on the squares too.
    """
    samples = Grid(_samples(25 if settings.full else 5), by_columns, kernels=True)
    yield from samples.tasks(settings)
    yield from _published(samples, settings)
    if settings.instances:
        return
    sizes = Grid(SIZES, by_columns, seeds=5 if settings.full else 2)
    yield from sizes.tasks(settings)
    yield from _published(replace(sizes, seeds=1), settings)
    solvers = available_solvers() if settings.full else SQUARE_SOLVERS
    squares = Grid(SQUARES, lambda instance: SQUARE_SECONDS, solvers)
    yield from squares.tasks(settings)
    yield from _published(squares, settings)


def _published(grid: Grid, settings: Settings) -> Iterator[Task]:
    """The published search at its best, on the instances of a grid, unless the user wants other solvers."""
    if PUBLISHED not in settings.chosen_solvers(grid.solvers):
        return
    only = replace(grid, solvers=(PUBLISHED,), kernels=False)
    for task in only.tasks(replace(settings, solvers=(PUBLISHED,), added=())):
        window = 3 if get_instance(task.instance).columns <= WIDEST_THREE else 2
        yield replace(task, options={"window": window, "escapes": ESCAPES}, label=BEST_LABEL)
