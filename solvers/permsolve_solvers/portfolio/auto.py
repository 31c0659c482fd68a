"""``auto``: the solver for users who do not want to choose."""

import math
from dataclasses import dataclass
from typing import ClassVar

from permsolve.problem import Problem
from permsolve.registry import get_solver
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome

# What exhaustive search proves in a fraction of a second.
TINY_COLUMNS = 16
TINY_WORK = 5e7
# For M = 2 a matching is the proven optimum; this many columns take some seconds.
MATCHING_COLUMNS = 1024
# Up to so many groups, or entries, perturbation alone does best; beyond, annealed assignment first (measured).
FEW_GROUPS = 48
FEW_ENTRIES = 40_000
# Share of the time for annealed assignment, the rest being perturbation of what it found; more of it for many groups.
ASSIGNMENT_SHARE = 0.7
MANY_GROUPS = 96
ASSIGNMENT_SHARE_MANY = 0.92
# Annealing cycles where there is no time limit to share.
CYCLES = 3


@dataclass(frozen=True, slots=True)
class Auto:
    """Exhaustive search where it is instant, matching for M = 2, else annealed assignment and local search.

    Members run one after another, each on all workers, and start from the best found so far.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "chooses for you: exhaustive, matching, annealed assignment, local search, as fits the problem",
        anytime=True,
        warm_start=True,
        parallel=True,
        compiled=True,
    )

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Run the members that fit the problem, in turn."""
        width = problem.columns + problem.padding
        if width <= TINY_COLUMNS and math.comb(width, problem.pattern.m) * problem.rows * width <= TINY_WORK:
            return get_solver("exhaustive").solve(problem, run)
        if problem.pattern.m == 2 and width <= MATCHING_COLUMNS:
            outcome = get_solver("matching").solve(problem, run)
            if outcome.proven or run.should_stop():
                return outcome
        if problem.group_count > FEW_GROUPS and problem.rows * problem.columns > FEW_ENTRIES:
            if run.timed:
                share = ASSIGNMENT_SHARE if problem.group_count < MANY_GROUPS else ASSIGNMENT_SHARE_MANY
                with run.limited(share * run.remaining):
                    get_solver("assignment").solve(problem, run)
            else:
                get_solver("assignment", cycles=CYCLES).solve(problem, run)
        return get_solver("local-search").solve(problem, run)
