"""Stop when nothing gets better any more."""

from dataclasses import dataclass

from permsolve.errors import InvalidOptionError
from permsolve.status import StopReason
from permsolve.stopping._checks import nonnegative
from permsolve.stopping.criterion import Criterion, Progress


@dataclass(frozen=True)
class NoImprovement(Criterion):
    """Stop after this many iterations, or seconds, without a better value.

    Parameters
    ----------
    iterations : int, optional
        Iterations without improvement, in the solver's own unit.
    seconds : float, optional
        Seconds without improvement. At least one of the two must be given; the first reached stops.
    """

    iterations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.iterations is None and self.seconds is None:
            raise InvalidOptionError("NoImprovement needs iterations or seconds: for example NoImprovement(1000)")
        if self.iterations is not None:
            nonnegative("NoImprovement's iterations", self.iterations, integer=True)
        if self.seconds is not None:
            nonnegative("NoImprovement's seconds", self.seconds)

    def __call__(self, progress: Progress, /) -> StopReason | None:
        stalled = (
            self.iterations is not None and progress.iteration - progress.last_improvement >= self.iterations
        ) or (self.seconds is not None and progress.elapsed - progress.last_improvement_time >= self.seconds)
        return StopReason.NO_IMPROVEMENT if stalled else None
