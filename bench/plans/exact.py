"""``exact``: which optima can be proven, and how fast."""

from collections.abc import Iterator

from bench.plans.plan import Grid, Settings
from bench.plans.task import Task
from permsolve import available_solvers
from permsolve.errors import SolverUnavailableError
from permsolve.registry import solver_class

INSTANCES = (
    *(f"uniform-32x16@{seed}" for seed in range(5)),
    "uniform-32x32@1",
    "uniform-64x32@1",
    *(f"uniform-64x64@{seed}" for seed in range(4)),
    "uniform-128x64@1",
    "planted-64x64@1",
    "sparse60-64x64@1",
    "student-128x64@1",
    "uniform-64x32@1+1:4",
    "uniform-64x24@1+4:8",
    "uniform-128x64@1+1:2",
    "uniform-64x128@0+1:2",
)
SECONDS, FULL_SECONDS = 60.0, 600.0


def tasks(settings: Settings) -> Iterator[Task]:
    """The solvers that can prove something, a minute each; ``full``: ten, and 25 samples."""
    names = INSTANCES
    if settings.full:
        names = (*INSTANCES, *(f"uniform-32x16@{seed}" for seed in range(5, 25)), "uniform-64x128@0")
    seconds = FULL_SECONDS if settings.full else SECONDS
    return Grid(names, lambda instance: seconds, _provers()).tasks(settings)


def _provers() -> list[str]:
    """``auto`` and ``matching``, which prove what is in reach, and all that say they are exact."""
    found = ["auto", "matching"]
    for name in available_solvers():
        try:
            exact = solver_class(name).capabilities.exact
        except SolverUnavailableError:
            exact = True  # its rows will say what is missing
        if exact:
            found.append(name)
    return list(dict.fromkeys(found))
