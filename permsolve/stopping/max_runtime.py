"""Stop by time."""

from dataclasses import dataclass

from permsolve.status import StopReason
from permsolve.stopping._checks import nonnegative
from permsolve.stopping.criterion import Criterion, Progress


@dataclass(frozen=True)
class MaxRuntime(Criterion):
    """Stop after ``seconds`` of search."""

    seconds: float

    def __post_init__(self) -> None:
        nonnegative("MaxRuntime's seconds", self.seconds)

    def __call__(self, progress: Progress, /) -> StopReason | None:
        return StopReason.TIME if progress.elapsed >= self.seconds else None
