"""How long the linear programme over all groups takes, roughly: for plans made before it."""

import math

from permsolve.problem import Problem
from permsolve_solvers.pricing.pricers import is_quads

# Of a pass over all groups, group-rows per second of one core; half of what is measured, as passes are not all of it.
PASS_SPEED = 3.5e10
# Measured: passes that the programme takes where groups are swept, and where they are listed; seconds of the simplex
# method for the cube of the columns, and of all else.
PASSES = 12.0
LISTED_PASSES = 1000.0
SIMPLEX = 6e-7
START = 0.1


def pass_work(problem: Problem) -> float:
    """Work of scoring every possible group once, in group-rows."""
    return float(math.comb(problem.columns + problem.padding, problem.pattern.m)) * problem.rows


def programme_seconds(problem: Problem, workers: int) -> float:
    """Seconds that the linear programme over all groups of a problem that can be priced takes."""
    passes = PASSES if is_quads(problem) else LISTED_PASSES
    width = problem.columns + problem.padding
    return START + SIMPLEX * width**3 + passes * pass_work(problem) / (PASS_SPEED * workers)
