"""Stop when close enough to the bound."""

from dataclasses import dataclass

from permsolve.status import StopReason
from permsolve.stopping._checks import nonnegative
from permsolve.stopping.criterion import Criterion, Progress


@dataclass(frozen=True)
class Gap(Criterion):
    """Stop once ``(bound - value) / value`` is at most ``ratio``."""

    ratio: float

    def __post_init__(self) -> None:
        nonnegative("Gap's ratio", self.ratio)

    def __call__(self, progress: Progress, /) -> StopReason | None:
        return StopReason.GAP if progress.bound - progress.value <= self.ratio * progress.value else None
