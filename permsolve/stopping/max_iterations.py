"""Stop by work done."""

from dataclasses import dataclass

from permsolve.status import StopReason
from permsolve.stopping._checks import nonnegative
from permsolve.stopping.criterion import Criterion, Progress


@dataclass(frozen=True)
class MaxIterations(Criterion):
    """Stop after ``iterations`` iterations, in the solver's own unit.

    A search stopped this way gives the same answer again with the same seed and number of workers.
    """

    iterations: int

    def __post_init__(self) -> None:
        nonnegative("MaxIterations' iterations", self.iterations, integer=True)

    def __call__(self, progress: Progress, /) -> StopReason | None:
        return StopReason.ITERATIONS if progress.iteration >= self.iterations else None
