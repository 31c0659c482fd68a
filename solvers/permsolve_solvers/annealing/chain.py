"""One Markov chain of swaps over some groups of a problem."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from permsolve_solvers.annealing import _kernels
from permsolve_solvers.moves.state import Groups, State

# Most bytes for the exchange rows of groups seen before, and most groups that are worth remembering.
MEMORY_BYTES = 1 << 24
MEMORY_GROUPS = 1 << 16


@dataclass(eq=False)
class Chain:
    """Samples the partitions of a state's columns, with Metropolis' rule on swaps.

    At low temperature a chain returns to the same groups over and over; their exchange rows are kept in a
    direct-mapped memory, so that most swaps cost a copy instead of arithmetic.

    Parameters
    ----------
    state : State
        Where to start; changed in place.
    rng : numpy.random.Generator
        Makes all random choices.
    memory : float
        Share of the most memory for groups, in (0, 1]: fresh pages take more time than a short run saves by them.

    Attributes
    ----------
    best : ndarray of int64, shape (G, M)
        The best groups seen, in the numbers of the state.
    """

    state: State
    rng: np.random.Generator
    memory: float = 1.0
    best: Groups = field(init=False)
    _deficit: float = field(init=False, default=0.0)
    _names: NDArray[np.uint64] = field(init=False)
    _keys: NDArray[np.uint64] = field(init=False)
    _members: NDArray[np.int64] = field(init=False)
    _rows: NDArray[np.float32] = field(init=False)
    _kept: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        width, m = self.state.e.shape[0], self.state.groups.shape[1]
        _kernels.mark_all_same(self.state.groups, self.state.e)
        self.best = self.state.groups.copy()
        self._names = np.asarray(self.rng.integers(1, 1 << 64, size=width, dtype=np.uint64))
        fitting = max(1, int(self.memory * MEMORY_BYTES) // (4 * width * m))
        slots = 1 << (min(fitting, MEMORY_GROUPS).bit_length() - 1)
        self._keys = np.zeros(slots, np.uint64)
        self._members = np.zeros((slots, m), np.int64)
        self._rows = np.empty((slots, m, width), np.float32)
        self._kept = np.empty(slots, np.float64)

    def move_to(self, groups: Groups) -> None:
        """Go to other groups of the same columns, and forget the best ones."""
        self.state.reset(groups)
        _kernels.mark_all_same(self.state.groups, self.state.e)
        self.best[:] = groups
        self._deficit = 0.0

    def sample(self, temperature: float, work: float) -> int:
        """Go on for about ``work`` maxima-and-additions at one temperature, > 0; how many swaps were made."""
        state = self.state
        events, self._deficit = _kernels.anneal(
            state.x,
            state.groups,
            state.n,
            state.where,
            state.values,
            state.e,
            state.real,
            float(temperature),
            self._names,
            self._keys,
            self._members,
            self._rows,
            self._kept,
            float(work),
            self.best,
            float(self._deficit),
            self.rng,
        )
        return int(events)

    def mobility(self, temperature: float, weights: NDArray[np.float32]) -> float:
        """Swaps per step of Metropolis' rule at this temperature, from the current groups.

        ``weights``, of shape (real,) and not all zero, say how much each column counts.
        """
        state = self.state
        return float(_kernels.mobility(state.e, state.real, state.values, weights, float(temperature)))

    @property
    def value(self) -> float:
        """What the best groups keep, in the scale of the state."""
        return float(self.state.values.sum()) + self._deficit
