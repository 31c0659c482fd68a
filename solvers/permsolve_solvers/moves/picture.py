"""Whether a search may look at the coarse saliency instead of the true one, and how coarse that may be."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from permsolve.kernels.coarse import coarse
from permsolve.kernels.exchange import exchange
from permsolve.problem import Problem
from permsolve_solvers.moves.state import State

# Most that rounding may move the gain of a swap, in root mean square, in units of the last temperature.
TOLERANCE = 0.25
# Rows of bytes per row of the saliency, tried in turn; with more, bytes would hardly be faster than float32.
BREADTHS = (1.0, 1.5, 2.0, 3.0)
MOST_BREADTH = 3.1
# Losses of more last temperatures than this do not count: such a swap is out of the question, whatever the rounding.
HOPELESS = 30.0
# Temperatures at which a picture is tried before it is used, each this much lower than the one before.
STEP = 0.9
STEPS = 60
# Groups whose swaps with each other tell the error.
GROUPS = 64


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """The coarse saliency of a problem.

    Attributes
    ----------
    x : ndarray of uint8, shape (columns with padding, rows of bytes)
        The coarse saliency.
    unit : float
        What one level is worth.
    """

    x: NDArray[np.uint8]
    unit: float

    @staticmethod
    def of(problem: Problem, state: State, cold: float) -> "Picture | None":
        """The coarsest picture that does not blur what matters at the last temperature, ``cold``.

        ``state`` is on the true saliency, of all groups or some, whose swaps the picture has to get right. None where
        that takes too many bytes.
        """
        return next((found for found, error in _pictures(problem, state) if error(cold) <= TOLERANCE * cold), None)


class Pictures:
    """For each temperature of a search that cools the coarsest picture that will do.

    Parameters
    ----------
    problem : Problem
        The problem.
    state : State
        As of :meth:`Picture.of`.
    tolerance : float
        Most that rounding may move the gain of a swap, in root mean square, in units of the temperature.
    """

    def __init__(self, problem: Problem, state: State, tolerance: float) -> None:
        self._problem = problem
        self._state = state
        self._tolerance = tolerance
        self._temperature = 0.0

    def at(self, temperature: float) -> Picture | None:
        """The picture for a temperature > 0, the one before where that will do; None where none does."""
        if temperature > self._temperature:  # a new cycle
            self._finer = _pictures(self._problem, self._state)
            self._picture: Picture | None = None
            self._least = math.inf
        self._temperature = temperature
        while self._least > temperature:
            self._picture, error = next(self._finer, (None, _exact))
            self._least = _least(error, temperature, self._tolerance)
        return self._picture


def _least(error: Callable[[float], float], temperature: float, tolerance: float) -> float:
    """The lowest temperature on the way down from this one at which an error is tolerable; infinite when none is."""
    least = math.inf
    for _ in range(STEPS):
        if error(temperature) > tolerance * temperature:
            return least
        least = temperature
        temperature *= STEP
    return 0.0


def _exact(temperature: float) -> float:
    """The error of the true saliency."""
    return 0.0


def _pictures(problem: Problem, state: State) -> Iterator[tuple[Picture, Callable[[float], float]]]:
    """Finer and finer ones, and how far each moves gains of swaps that count at a temperature, in root mean square."""
    groups = state.groups[np.random.default_rng(0).permutation(state.groups.shape[0])[:GROUPS]]
    count, m = groups.shape
    members = np.column_stack([np.repeat(np.arange(count), m), np.tile(np.arange(m), count)])
    columns = groups.ravel()
    apart = members[:, None, 0] != members[None, :, 0]
    entries = state.e[np.ix_(columns, columns)]
    true = (entries + entries.T).astype(np.float64)[apart]
    named = state.named(groups)
    for breadth in BREADTHS:
        x, unit = coarse(problem.working, problem.columns, problem.pattern, breadth)
        if x.shape[1] > MOST_BREADTH * problem.rows:  # padding of very few rows
            return
        exchange(x, named, members, state.n, named.ravel(), 0, entries, np.arange(len(columns)))
        squares = np.square(unit * (entries + entries.T)[apart] - true)

        def error(temperature: float, squares: NDArray[np.float64] = squares) -> float:
            near = squares[true >= -HOPELESS * temperature]
            return math.sqrt(near.mean()) if near.size else math.inf

        yield Picture(x, unit), error
