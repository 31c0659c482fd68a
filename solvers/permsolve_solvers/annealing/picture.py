"""Whether a search may look at the coarse saliency instead of the true one."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from permsolve.kernels.coarse import coarse
from permsolve.problem import Problem
from permsolve_solvers.moves.state import State

# Most that rounding may move the gain of a swap, in root mean square, in units of the last temperature.
TOLERANCE = 0.5
PAIRS = 4096


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """The coarse saliency of a problem and a state on it.

    Attributes
    ----------
    x : ndarray of uint8, shape (columns with padding, rows padded)
        The coarse saliency.
    unit : float
        What one level is worth.
    """

    x: NDArray[np.uint8]
    unit: float

    @classmethod
    def of(cls, problem: Problem, fine: State, cold: float) -> Self | None:
        """The picture of a problem, or None where it would blur what matters at the last temperature, ``cold``.

        ``fine`` is a state on the true saliency, of all groups or some, by whose swaps that is judged.
        """
        x, unit = coarse(problem.working, problem.columns, problem.pattern)
        part = x if fine.x.shape[0] == x.shape[0] else x[fine.names]
        state = State.of(part, fine.groups, fine.n, fine.real)
        i, j = np.random.default_rng(0).integers(fine.real, size=(2, PAIRS))
        other = fine.where[i] != fine.where[j]
        i, j = i[other], j[other]
        error = (fine.e[i, j] + fine.e[j, i]) - unit * (state.e[i, j] + state.e[j, i])
        if i.size == 0 or float(np.sqrt(np.mean(np.square(error)))) > TOLERANCE * cold:
            return None
        return cls(x, unit)
