"""The ``assignment`` solver."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from permsolve.checks import require_positive, require_whole
from permsolve.cores import Threads
from permsolve.errors import InvalidOptionError
from permsolve.kernels.device.availability import check_device
from permsolve.permutation import from_groups, to_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.moves.assignment import AssignmentMoves
from permsolve_solvers.moves.cooling import COLD, HOT, Cooling, temperature
from permsolve_solvers.moves.device import on_device

# Rounds of the first cycle when there is no time limit to fit into; each later one takes twice as many.
FIRST_CYCLE = 250
# A warm start is annealed from this share (geometric) of the way between hot and cold.
WARM = 0.6
OFFER_EVERY = 16


@dataclass(frozen=True, slots=True)
class Assignment:
    """Annealing whose every move redistributes one column of every group by a linear assignment.

    A move takes one random column out of each group and puts them back by solving the assignment problem on
    the exchange matrix plus Gumbel noise of the current temperature: close to a draw from the Boltzmann
    distribution over *all* redistributions at once, where swap annealing draws from two columns. The
    temperature falls geometrically and ends with moves without noise. The cycle is fitted into the
    time limit; without one, cycles of doubling length follow each other. One iteration is one move of all groups.

    While noise hides its rounding, the matrix is that of a coarse saliency (:class:`.Cooling`), and of moves without
    noise, which propose several cyclic exchanges at once, each is checked in float64.

    Parameters
    ----------
    hot, cold : float, default 0.08 and 0.018
        First and last temperature, in units of the interquartile range of what a random swap changes.
    cycles : int, optional
        Most annealing cycles; as many as the run allows when not given.
    device : {"cpu", "cuda"}, default "cpu"
        Where the exchange matrices are computed, on the GPU from the true saliency all the time; the assignments are
        solved by the workers in any case.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "annealed assignment moves: one column of every group redistributed at once",
        anytime=True,
        warm_start=True,
        parallel=True,
        compiled=True,
    )

    hot: float = HOT
    cold: float = COLD
    cycles: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_device("assignment", self.device)
        for name in ("hot", "cold"):
            require_positive("assignment", name, getattr(self, name))
        if self.cycles is not None:
            require_whole("assignment", "cycles", self.cycles, 1)
        if self.cold > self.hot:
            raise InvalidOptionError(f"assignment: cold ({self.cold}) must not exceed hot ({self.hot})")

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Anneal until the run says stop."""
        groups = to_groups(run.permutation, problem.pattern)
        if groups.shape[0] < 2 or run.should_stop():
            return Outcome()
        (rng,) = run.generators(1)
        device = on_device(problem, run) if self.device == "cuda" else None
        with Threads(run.workers) as pool:
            left = (lambda: run.remaining) if run.timed else (lambda: math.inf)
            moves = AssignmentMoves(problem, groups, pool, run.workers, rng, device, left, lambda: run.cut_short)
            cooling = Cooling(problem, run, moves)
            best = -math.inf  # of what was offered, as the moves count it: the core scores anew whatever it is offered
            for number, level in enumerate(self._temperatures(run)):
                cooling.move(level)
                due = number % OFFER_EVERY == 0 or level == 0.0
                if due and (kept := float(moves.values.sum())) > best:
                    best = kept
                    run.offer(from_groups(groups, problem.columns))
                if run.should_stop(iterations=1):
                    break
        run.offer(from_groups(groups, problem.columns))
        return Outcome()

    def _temperatures(self, run: Run) -> Iterator[float]:
        """Temperatures of the rounds, in units of the swap spread."""
        start = self.hot
        if run.warm:
            start = self.hot * (self.cold / self.hot) ** WARM
        length = FIRST_CYCLE
        for _ in itertools.count() if self.cycles is None else range(self.cycles):
            if run.should_stop():
                return
            begun, done = run.elapsed, 0
            while (share := self._share(run, begun) if run.timed else done / length) < 1.0:
                yield temperature(share, start, self.cold)
                done += 1
            length *= 2

    @staticmethod
    def _share(run: Run, begun: float) -> float:
        return (run.elapsed - begun) / max(run.time_limit - begun, 1e-9)
