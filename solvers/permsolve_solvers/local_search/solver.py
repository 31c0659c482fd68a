"""The ``local-search`` solver."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from permsolve.checks import require_positive, require_whole
from permsolve.cores import Threads
from permsolve.kernels.device.availability import check_device
from permsolve.permutation import from_groups, to_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.local_search.batched import BatchedDescent
from permsolve_solvers.local_search.descent import Descent
from permsolve_solvers.local_search.reheating import reheat
from permsolve_solvers.moves.assignment import AssignmentMoves
from permsolve_solvers.moves.device import on_device

Groups = NDArray[np.int64]

# The opening phase of assignment moves ends when its last WINDOW rounds brought less than this share of its gain.
WINDOW = 32
STALL = 0.01
# Rounds of it between two looks of the core at what is kept: that takes as long as a round where a GPU does the rest.
OFFER_EVERY = 16
# Work between two looks at the clock, in maxima-and-additions (some 15 ms on one core), and groups whose rows
# of the exchange matrix one perturbation step recomputes (measured: 5 to 9).
SLICE = 2e8
GROUPS_PER_STEP = 7
# On tiny problems a step's overhead counts, not its arithmetic.
MAX_STEPS = 2000
# Swaps of a descent between two looks at the clock are sized the same way: two groups each.
GROUPS_PER_SWAP = 2
# Maxima-and-additions per second of one core, roughly, and for how many full exchange matrices there must be time
# left to leave the assignment moves for chains, which need one each.
SPEED = 1e10
MATRICES_TO_PAY = 4
# Most groups that one perturbation step may change; bounds what is kept for putting things back.
REACH = 32
# Rounds without a better value after which a chain that is behind starts again from the best.
PATIENCE = 20


@dataclass(frozen=True, slots=True)
class LocalSearch:
    """Descent by assignment moves and swaps, then perturbation and descent again and again.

    1. Assignment moves (:class:`.AssignmentMoves`) on submatrices of the exchange matrix, until they stall.
    2. Up to ``chains`` columns: every worker descends by swaps and runs its own chain of perturbations, each a kick
       and a swap descent with Metropolis acceptance, on an exchange matrix of all columns. More columns: all groups are
       reheated and cooled again by assignment moves with noise (:func:`.reheat`), which stays if it gained.

    On a GPU the full matrix of all columns stays there, and after each cooling many swaps are done at once
    (:class:`.BatchedDescent`).

    One iteration is one assignment move of all groups, one batch of swaps, or one perturbation step of any worker.

    Parameters
    ----------
    kick : int, default 4
        Most groups that a perturbation rotates a column through, >= 2.
    temperature : float, default 0.3
        Temperature of acceptance of chains, in units of the interquartile range of what a random swap changes
        at a local optimum; > 0.
    chains : int, default 256
        Most columns of which chains are run. Each worker needs ``4 * chains**2`` bytes for the exchange matrix. Not
        used on a GPU.
    device : {"cpu", "cuda"}, default "cpu"
        Where the exchange matrices are. On a GPU the matrix takes ``4 * columns**2`` bytes.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "assignment moves, swap descent and perturbation on the exchange matrix",
        anytime=True,
        warm_start=True,
        parallel=True,
        compiled=True,
        warm_up_options=({}, {"chains": 8}),  # narrow and wide
    )

    kick: int = 4
    temperature: float = 0.3
    chains: int = 256
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_device("local-search", self.device)
        for name, least in (("kick", 2), ("chains", 8)):
            require_whole("local-search", name, getattr(self, name), least)
        require_positive("local-search", "temperature", self.temperature)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Search until the run says stop."""
        groups = to_groups(run.permutation, problem.pattern)
        if groups.shape[0] < 2 or run.should_stop():
            return Outcome()
        master, *rngs = run.generators(run.workers + 1)
        device = on_device(problem, run) if self.device == "cuda" else None
        left = (lambda: run.remaining) if run.timed else (lambda: math.inf)
        with Threads(run.workers) as pool:
            moves = AssignmentMoves(problem, groups, pool, run.workers, master, device, left, lambda: run.cut_short)
            chained = device is None and groups.size <= self.chains
            self._open(problem, run, moves, MATRICES_TO_PAY * groups.size**2 * problem.rows / SPEED if chained else 0.0)
            if chained:
                self._search_chains(problem, run, rngs, pool)
                return Outcome()
            swaps = None
            if device is not None:
                swaps = BatchedDescent(problem, device, groups)
                moves.reset(swaps.descended(groups, run))
                run.offer(from_groups(groups, problem.columns))
            reheat(problem, run, moves, swaps)
        return Outcome()

    @staticmethod
    def _open(problem: Problem, run: Run, moves: AssignmentMoves, patience: float) -> None:
        """Assignment moves while they bring much for their time, or what comes after them takes too many seconds."""
        history = [float(moves.values.sum())]
        while not run.should_stop(iterations=1):
            moves.move()
            history.append(float(moves.values.sum()))
            if len(history) % OFFER_EVERY == 0:
                run.offer(from_groups(moves.groups, problem.columns))
            if run.remaining < patience:
                continue
            if len(history) > WINDOW and history[-1] - history[-1 - WINDOW] <= STALL * (history[-1] - history[0]):
                break
        run.offer(from_groups(moves.groups, problem.columns))

    def _search_chains(self, problem: Problem, run: Run, rngs: list[np.random.Generator], pool: Threads) -> None:
        """One chain of perturbations per worker, each over all columns."""
        chains = [self._descended(problem, run, to_groups(run.permutation, problem.pattern))]
        chains += [chains[0].copy() for _ in rngs[1:]]
        temperature = self.temperature * chains[0].spread(rngs[0])
        work = GROUPS_PER_STEP * problem.pattern.m * chains[0].x.size
        steps = min(MAX_STEPS, max(1, int(SLICE / work)))
        stalled = 0
        while not run.should_stop():
            tasks = [
                pool.submit(chain.perturb, steps, self.kick, temperature, REACH, rng)
                for chain, rng in zip(chains, rngs, strict=True)
            ]
            better = False
            for groups in [task.result() for task in tasks]:
                if groups is not None:
                    better |= run.offer(from_groups(groups, problem.columns))
            run.should_stop(iterations=steps * len(chains))
            stalled = 0 if better else stalled + 1
            if stalled == PATIENCE and len(chains) > 1:
                stalled = 0
                best = to_groups(run.permutation, problem.pattern)
                behind = min(chains, key=lambda chain: float(chain.values.sum()))
                behind.reset(best)

    def _descended(self, problem: Problem, run: Run, groups: Groups) -> Descent:
        """State of these groups after swap descent."""
        state = Descent.of(problem.working, groups, problem.pattern.n, problem.columns)
        swaps = max(1, int(SLICE / (GROUPS_PER_SWAP * problem.pattern.m * state.x.size)))
        while not run.should_stop() and state.descend(swaps) == swaps:
            run.offer(from_groups(state.groups, problem.columns))
        run.offer(from_groups(state.groups, problem.columns))
        return state
