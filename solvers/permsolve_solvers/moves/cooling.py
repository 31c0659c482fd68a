"""Annealing cycles of assignment moves."""

import numpy as np

from permsolve.problem import Problem
from permsolve.run import Run
from permsolve_solvers.moves.assignment import AssignmentMoves
from permsolve_solvers.moves.picture import Pictures
from permsolve_solvers.moves.state import State

# First and last temperature of a cycle from scratch, in units of the interquartile range of what a random swap changes.
HOT = 0.08
COLD = 0.018
# Share of a cycle spent at temperature zero, at its end.
QUENCH = 0.06
# Maxima-and-additions per second of one core on the true saliency, roughly, and exchange matrices of it for which there
# must be time.
SPEED = 1e10
TRUTH_MATRICES = 3
# Groups that tell whether the coarse saliency will do, and how much of the temperature its rounding may be (measured).
PICTURED = 64
TOLERANCE = 0.5


def temperature(share: float, hot: float, cold: float) -> float:
    """The temperature where this share of a cycle is over: falls geometrically, and is zero at the end."""
    cooling = share / (1.0 - QUENCH)
    return hot * (cold / hot) ** cooling if cooling < 1.0 else 0.0


class Cooling:
    """Assignment moves at temperatures in units of the swap spread, on as coarse a saliency as each allows.

    While noise hides its rounding, the matrix is that of a coarse saliency (:class:`.Pictures`); a GPU has the true one
    all the time. Moves without noise see the true one if there is time for that; else the last picture proposes them.

    Parameters
    ----------
    problem : Problem
        The problem.
    run : Run
        Says how much time is left.
    moves : AssignmentMoves
        The moves. Unit of the temperatures is the spread of swaps at their present groups.
    """

    def __init__(self, problem: Problem, run: Run, moves: AssignmentMoves) -> None:
        self._run = run
        self._moves = moves
        self._unit = moves.spread()
        self._pictures: Pictures | None = None
        if moves.device is None:
            some = moves.groups[np.random.default_rng(0).permutation(moves.groups.shape[0])[:PICTURED]]
            state = State.of(problem.working, some, problem.pattern.n, problem.columns)
            self._pictures = Pictures(problem, state, TOLERANCE)
        self._truth_seconds = TRUTH_MATRICES * float(problem.columns) ** 2 * problem.rows / (SPEED * run.workers)
        self._hot = True

    def move(self, temperature: float) -> None:
        """One move of all groups."""
        if self._pictures is not None and temperature > 0.0:
            self._moves.look_at(self._pictures.at(temperature * self._unit))
        elif self._hot and (not self._run.timed or self._truth_seconds <= self._run.remaining):
            self._moves.look_at(None)
        self._hot = temperature > 0.0
        self._moves.move(temperature * self._unit)
