"""Whether a search may look at the coarse saliency instead of the true one, and how coarse that may be."""

from dataclasses import dataclass
from typing import Self

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

    @classmethod
    def of(cls, problem: Problem, state: State, cold: float) -> Self | None:
        """The coarsest picture that does not blur what matters at the last temperature, ``cold``.

        ``state`` is on the true saliency, of all groups or some, whose swaps the picture has to get right. None where
        that takes too many bytes.
        """
        groups = state.groups[np.random.default_rng(0).permutation(state.groups.shape[0])[:GROUPS]]
        count, m = groups.shape
        members = np.column_stack([np.repeat(np.arange(count), m), np.tile(np.arange(m), count)])
        columns = groups.ravel()
        apart = members[:, None, 0] != members[None, :, 0]
        entries = state.e[np.ix_(columns, columns)]
        true = (entries + entries.T).astype(np.float64)
        near = apart & (true >= -HOPELESS * cold)
        for breadth in BREADTHS:
            x, unit = coarse(problem.working, problem.columns, problem.pattern, breadth)
            if x.shape[1] > MOST_BREADTH * problem.rows:  # padding of very few rows
                break
            named = state.named(groups)
            exchange(x, named, members, state.n, named.ravel(), 0, entries, np.arange(len(columns)))
            error = (unit * (entries + entries.T) - true)[near]
            if error.size and float(np.sqrt(np.mean(np.square(error)))) <= TOLERANCE * cold:
                return cls(x, unit)
        return None
