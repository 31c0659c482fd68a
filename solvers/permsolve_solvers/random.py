"""The best of many random orders."""

from dataclasses import dataclass
from typing import ClassVar

from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome


@dataclass(frozen=True, slots=True)
class Random:
    """Draw random permutations and keep the best; one iteration is one permutation."""

    capabilities: ClassVar[Capabilities] = Capabilities("best of random permutations", anytime=True)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Draw until the run says stop."""
        (rng,) = run.generators(1)
        while not run.should_stop():
            run.offer(rng.permutation(problem.columns))
            run.should_stop(iterations=1)
        return Outcome()
