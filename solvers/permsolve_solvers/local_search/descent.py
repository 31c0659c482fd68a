"""The state of a local search: swaps and perturbation on the exchange matrix of :class:`.State`."""

import numpy as np
from numpy.typing import NDArray

from permsolve_solvers.local_search import _kernels
from permsolve_solvers.moves.state import Groups, State


class Descent(State):
    """A state that descends by swaps and perturbs itself."""

    def descend(self, limit: int = 1 << 62) -> int:
        """Best swaps until none gains (or ``limit`` are done); how many there were."""
        dirty = np.ones(self.groups.shape[0], np.bool_)
        return self._search(dirty, limit, 0, 2, 1.0, 2, np.random.default_rng(0))[2]

    def perturb(self, steps: int, kick: int, temperature: float, reach: int, rng: np.random.Generator) -> Groups | None:
        """Iterated descent (:func:`._kernels.search`); the best groups seen if they beat the present ones."""
        dirty = np.zeros(self.groups.shape[0], np.bool_)
        best, gain, _ = self._search(dirty, 0, steps, kick, temperature, reach, rng)
        return best if gain > 0.0 else None

    def _search(
        self,
        dirty: NDArray[np.bool_],
        swaps: int,
        steps: int,
        kick: int,
        temperature: float,
        reach: int,
        rng: np.random.Generator,
    ) -> tuple[Groups, float, int]:
        best = np.empty_like(self.groups)
        count = self.groups.shape[0]
        gain, done = _kernels.search(
            self.x,
            self.groups,
            self.n,
            self.where,
            self.values,
            self.e,
            self.real,
            dirty,
            swaps,
            best,
            steps,
            min(kick, count),
            temperature,
            min(reach, count),
            rng,
        )
        return best, float(gain), int(done)
