"""Being told of every improvement."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Incumbent:
    """The best solution known at one moment of a search.

    Attributes
    ----------
    time : float
        Seconds since the search began.
    iteration : int
        Iterations done by then, in the solver's own unit.
    value : float
        Saliency kept, re-scored in float64.
    bound : float
        Best valid upper bound known.
    permutation : ndarray of int64, shape (columns,)
        The permutation, read-only.
    """

    time: float
    iteration: int
    value: float
    bound: float
    permutation: NDArray[np.int64]


class Observer(Protocol):
    """Anything that can be called with an :class:`Incumbent`; a plain function will do.

    It runs in the thread that found the improvement, between two steps of the search: keep it short.
    """

    def __call__(self, incumbent: Incumbent, /) -> object: ...
