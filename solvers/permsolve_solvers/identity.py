"""The given order: what there is without a search."""

from dataclasses import dataclass
from typing import ClassVar

from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome


@dataclass(frozen=True, slots=True)
class Identity:
    """Keep the starting order (the given one, or ``initial``)."""

    capabilities: ClassVar[Capabilities] = Capabilities("keeps the given order", warm_start=True)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Offer nothing: the run starts from the given order."""
        return Outcome()
