"""Stop when good enough."""

import math
from dataclasses import dataclass

from permsolve.checks import is_number
from permsolve.errors import InvalidOptionError
from permsolve.status import StopReason
from permsolve.stopping.criterion import Criterion, Progress


@dataclass(frozen=True)
class Target(Criterion):
    """Stop once the value kept reaches ``value`` (in the saliency's unit)."""

    value: float

    def __post_init__(self) -> None:
        if not is_number(self.value) or math.isnan(self.value):
            raise InvalidOptionError(f"Target's value must be a number, got {self.value!r}")

    def __call__(self, progress: Progress, /) -> StopReason | None:
        return StopReason.TARGET if progress.value >= self.value else None
