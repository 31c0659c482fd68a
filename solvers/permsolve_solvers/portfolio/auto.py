"""``auto``: the solver for users who do not want to choose."""

import math
from dataclasses import dataclass
from typing import ClassVar

from permsolve.kernels.device.availability import check_device, obstacle
from permsolve.problem import Problem
from permsolve.registry import get_solver
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.moves.assignment import MAX_GROUPS_BESIDE_GPU
from permsolve_solvers.moves.device import fits_device
from permsolve_solvers.moves.pace import swap_seconds
from permsolve_solvers.pricing.pace import pass_work, programme_seconds
from permsolve_solvers.pricing.pricers import priceable

# What exhaustive search proves in a fraction of a second.
TINY_COLUMNS = 16
TINY_WORK = 5e7
# For M = 2 a matching is the proven optimum; this many columns take some seconds.
MATCHING_COLUMNS = 1024
# Maxima-and-additions per second of one core, roughly.
SPEED = 2e10
# Most columns that are annealed together.
SWAP_BLOCK = 1024
# What annealing does before its first swap, in exchange matrices; swaps per column for which there must then be time,
# at so many groups, and with which power of their number that grows: redistributing a column of every group at once
# wins below (measured from 512 to 2048 columns).
START = 1.5
SWAPS = 40.0
SWAPS_GROUPS = 128
SWAPS_POWER = 2.5
# Up to so many rows descent and reheating do better than that (measured).
FEW_ROWS = 8
# Fewest entries of a part of the exchange matrix, times rows, that are worth the way to a GPU (reasoned, not measured:
# some 10 ms of one core, against some tenths of a millisecond of launches and copies), and seconds that compiling its
# kernels may take.
DEVICE_WORK = 1e8
DEVICE_SECONDS = 10.0
# The linear programme over all groups, which bounds the answer, may take this share of the time; without a clock, a
# pass over all groups so much work.
PROGRAMME_SHARE = 0.2
PROOF_COLUMNS = 512
PASS_WORK = 1e10
# What annealing gets before it, as a share of the time, and at least and at most so many seconds: where the bound
# proves little, column generation anneals for most of what is left. Cycles without a clock.
FIRST_SHARE = 0.1
FIRST_SECONDS = (0.5, 1.5)
CYCLES = 2


@dataclass(frozen=True, slots=True)
class Auto:
    """Exhaustive search where it is instant, matching for M = 2, else annealing, then proof where that is in reach.

    Annealing goes swap by swap, or by assignments of one column of every group where the time is short for the number
    of groups; on very few rows perturbation takes its place there. Members run one after another, each on all workers,
    and start from the best found so far.

    Parameters
    ----------
    device : {"cpu", "cuda"}, optional
        On "cuda", what is too large for a proof goes by assignments, with a GPU. When not given that is so where there
        is a GPU, the problem is large and the choice falls on assignments. The result says when a GPU was used
        (:attr:`permsolve.Result.notes`).
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "chooses for you: exhaustive, matching, annealing by swaps or assignments, then column generation",
        anytime=True,
        warm_start=True,
        parallel=True,
        compiled=True,
        warm_up=30_000,  # annealing comes first
        warm_up_columns=48,  # where pairs are, which matching proves by triples
    )

    device: str | None = None

    def __post_init__(self) -> None:
        if self.device is not None:
            check_device("auto", self.device)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Run the members that fit the problem, in turn."""
        width = problem.columns + problem.padding
        if width <= TINY_COLUMNS and math.comb(width, problem.pattern.m) * problem.rows * width <= TINY_WORK:
            return get_solver("exhaustive").solve(problem, run)
        if problem.pattern.m == 2 and width <= MATCHING_COLUMNS:
            outcome = get_solver("matching").solve(problem, run)
            if outcome.proven or run.should_stop():
                return outcome
        if self._provable(problem, run):
            if run.timed:
                least, most = FIRST_SECONDS
                with run.limited(min(max(least, FIRST_SHARE * run.remaining), most, 0.5 * run.remaining)):
                    get_solver("annealing", cycles=1).solve(problem, run)
            else:
                get_solver("annealing", cycles=CYCLES).solve(problem, run)
            if run.should_stop():
                return Outcome()
            run.warm = True
            try:
                outcome = get_solver("column-generation").solve(problem, run)
            except MemoryError:
                outcome = Outcome()
                run.notes["memory"] = "not enough memory for a proof: annealing alone"
            if outcome.proven or run.should_stop():
                return outcome
            run.warm = False  # what is left: from the heat again
            get_solver("annealing").solve(problem, run)
            return outcome
        name = self._heuristic(problem, run)
        if self.device == "cuda" or (self.device is None and name == "assignment" and self._worth_a_gpu(problem, run)):
            return get_solver("assignment", device="cuda").solve(problem, run)
        return get_solver(name).solve(problem, run)

    @staticmethod
    def _worth_a_gpu(problem: Problem, run: Run) -> bool:
        """Whether there is a GPU, and enough to do for it."""
        work = float(min(problem.group_count, MAX_GROUPS_BESIDE_GPU)) ** 2 * problem.rows
        worth = work >= DEVICE_WORK and run.remaining >= DEVICE_SECONDS
        return worth and obstacle() is None and fits_device(problem)

    @staticmethod
    def _heuristic(problem: Problem, run: Run) -> str:
        """The heuristic that does best in the time left."""
        width = problem.columns + problem.padding
        if not run.timed:
            return "annealing"
        swap = swap_seconds(problem, min(width, SWAP_BLOCK))
        swaps = SWAPS * (problem.group_count / SWAPS_GROUPS) ** SWAPS_POWER * width
        if run.remaining >= START * width**2 * problem.rows / SPEED + swaps * swap / run.workers:
            return "annealing"
        return "assignment" if problem.rows > FEW_ROWS else "local-search"

    @staticmethod
    def _provable(problem: Problem, run: Run) -> bool:
        """Whether there is time for the linear programme over all groups."""
        if problem.columns + problem.padding > PROOF_COLUMNS or problem.pattern.m == 2 or not priceable(problem):
            return False
        if not run.timed:
            return pass_work(problem) <= PASS_WORK
        return programme_seconds(problem, run.workers) <= PROGRAMME_SHARE * run.remaining
