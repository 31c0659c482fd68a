"""How long a swap of annealing takes, roughly: for plans made before the first one."""

from permsolve.problem import Problem

# Maxima-and-additions per second of one core on the coarse saliency, and what a swap takes beside its exchange rows, in
# seconds per column (measured).
COARSE_SPEED = 1.2e11
OVERHEAD = 4e-8


def swap_seconds(problem: Problem, width: int) -> float:
    """Seconds that one core takes for a swap of a chain of ``width`` columns of the problem."""
    return width * (2 * (problem.pattern.m - 1) * problem.rows / COARSE_SPEED + OVERHEAD)
