"""``auto``: the solver for users who do not want to choose."""

from dataclasses import dataclass
from typing import ClassVar

from permsolve.problem import Problem
from permsolve.registry import get_solver
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome

# What exhaustive search proves in a fraction of a second.
TINY_COLUMNS = 12
TINY_ROWS = 1 << 14


@dataclass(frozen=True, slots=True)
class Auto:
    """Exhaustive search for tiny problems, local search for all others."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        "chooses for you: exhaustive where that is instant, else local-search",
        anytime=True,
        warm_start=True,
        parallel=True,
        compiled=True,
    )

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Hand the run to the solver that fits the problem."""
        width = problem.columns + problem.padding
        tiny = width <= max(TINY_COLUMNS, problem.pattern.m) and width <= 16 and problem.rows <= TINY_ROWS
        return get_solver("exhaustive" if tiny else "local-search").solve(problem, run)
