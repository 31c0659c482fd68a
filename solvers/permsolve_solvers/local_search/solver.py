"""The ``local-search`` solver."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from permsolve.checks import require_positive, require_whole
from permsolve.kernels.device.availability import check_device
from permsolve.permutation import from_groups, to_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.local_search.batched import BatchedSearch
from permsolve_solvers.local_search.descent import Descent
from permsolve_solvers.moves.assignment import AssignmentMoves, SubmatrixSource
from permsolve_solvers.moves.device import on_device

Groups = NDArray[np.int64]

# The opening phase of assignment moves ends when its last WINDOW rounds brought less than this share of its gain.
# Where one exchange matrix spans all columns, perturbation overtakes them early; beyond, much later (measured).
WINDOW = 32
# Rounds of it between two looks of the core at what is kept: that takes as long as a round where a GPU does the rest.
OFFER_EVERY = 16
STALL_WHOLE = 0.01
STALL_BLOCKS = 0.0003
# Work between two looks at the clock, in maxima-and-additions (some 15 ms on one core), and groups whose rows
# of the exchange matrix one perturbation step recomputes (measured: 5 to 9).
SLICE = 2e8
GROUPS_PER_STEP = 7
# On tiny problems a step's overhead counts, not its arithmetic.
MAX_STEPS = 2000
# Swaps of a descent between two looks at the clock are sized the same way: two groups each.
GROUPS_PER_SWAP = 2
# Maxima-and-additions per second of one core, roughly, and for how many full exchange matrices there must be time
# left to leave the assignment moves, which need none.
SPEED = 1e10
MATRICES_TO_PAY = 4
# Most groups that one perturbation step may change; bounds what is kept for putting things back.
REACH = 32
# Steps on a block per column of it: computing its exchange matrix then takes about a tenth of the time.
STEPS_PER_COLUMN = 0.4
# Rounds without a better value after which a chain that is behind starts again from the best.
PATIENCE = 20


@dataclass(frozen=True, slots=True)
class LocalSearch:
    """Descent by assignment moves and swaps, then iterated descent with Metropolis acceptance.

    1. Assignment moves (:class:`.AssignmentMoves`) on submatrices of the exchange matrix, until they stall.
    2. Up to ``block`` columns: every worker runs its own chain of perturbations with a full exchange matrix. More
       columns: the groups are dealt at random into blocks, which the workers search side by side, then dealt again.

    On a GPU the full matrix of all columns stays there, and swaps and perturbations are done many at once
    (:class:`.BatchedSearch`).

    One iteration is one assignment round or one perturbation step (of any worker).

    Parameters
    ----------
    kick : int, default 4
        Most groups that a perturbation rotates a column through, >= 2.
    temperature : float, default 0.3
        Temperature of acceptance, in units of the interquartile range of what a random swap changes
        at a local optimum; > 0.
    block : int, default 512
        Most columns that are searched together. Each worker needs ``4 * block**2`` bytes for the exchange
        matrix, and ``4 * block * rows`` for the block's columns unless it spans them all. Not used on a GPU.
    device : {"cpu", "cuda"}, default "cpu"
        Where the exchange matrices are. On a GPU the matrix takes ``4 * columns**2`` bytes.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "assignment moves, swap descent and perturbation on the exchange matrix",
        anytime=True,
        warm_start=True,
        parallel=True,
        compiled=True,
    )

    kick: int = 4
    temperature: float = 0.3
    block: int = 512
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_device("local-search", self.device)
        for name, least in (("kick", 2), ("block", 64)):
            require_whole("local-search", name, getattr(self, name), least)
        require_positive("local-search", "temperature", self.temperature)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Search until the run says stop."""
        groups = to_groups(run.permutation, problem.pattern)
        if groups.shape[0] < 2 or run.should_stop():
            return Outcome()
        master, *rngs = run.generators(run.workers + 1)
        device = on_device(problem, run) if self.device == "cuda" else None
        with ThreadPoolExecutor(run.workers) as pool:
            self._assign(problem, run, groups, master, pool, device)
            if device is not None:
                BatchedSearch(problem, device, master, self.kick, self.temperature).search(run)
            elif groups.size <= self.block:
                self._search_whole(problem, run, rngs, pool)
            else:
                self._search_blocks(problem, run, master, rngs, pool)
        return Outcome()

    def _assign(
        self,
        problem: Problem,
        run: Run,
        groups: Groups,
        rng: np.random.Generator,
        pool: ThreadPoolExecutor,
        device: SubmatrixSource | None,
    ) -> None:
        """Assignment moves on submatrices computed on the spot, while they bring much for their time."""
        moves = AssignmentMoves(problem, groups, pool, run.workers, rng, device)
        history = [float(moves.values.sum())]
        width = min(groups.size, self.block)
        patience = MATRICES_TO_PAY * width**2 * problem.rows / SPEED
        stall = STALL_WHOLE if device is not None or groups.size <= self.block else STALL_BLOCKS
        while not run.should_stop(iterations=1):
            moves.move()
            history.append(float(moves.values.sum()))
            if len(history) % OFFER_EVERY == 0:
                run.offer(from_groups(groups, problem.columns))
            if device is None and run.remaining < patience:  # a full exchange matrix would not be ready in time to pay
                continue
            if len(history) > WINDOW and history[-1] - history[-1 - WINDOW] <= stall * (history[-1] - history[0]):
                break
        run.offer(from_groups(groups, problem.columns))

    def _search_whole(
        self, problem: Problem, run: Run, rngs: list[np.random.Generator], pool: ThreadPoolExecutor
    ) -> None:
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

    def _search_blocks(
        self,
        problem: Problem,
        run: Run,
        rng: np.random.Generator,
        rngs: list[np.random.Generator],
        pool: ThreadPoolExecutor,
    ) -> None:
        """Deal the groups into blocks, search the blocks side by side, deal again."""
        count = problem.group_count
        size = self.block // problem.pattern.m
        parts = -(-count // size)
        steps = max(1, int(STEPS_PER_COLUMN * self.block))

        def search(picked: NDArray[np.int64], rng: np.random.Generator) -> Groups:
            state = Descent.of(problem.working, groups[picked], problem.pattern.n, problem.columns)
            state.descend()
            best = state.groups.copy()
            improved = state.perturb(steps, self.kick, self.temperature * state.spread(rng), REACH, rng)
            return state.named(best if improved is None else improved)

        groups = to_groups(run.permutation, problem.pattern)
        while not run.should_stop():
            order = rng.permutation(count)
            for first in range(0, parts, len(rngs)):
                blocks = [order[part::parts] for part in range(first, min(first + len(rngs), parts))]
                tasks = [pool.submit(search, block, rng) for block, rng in zip(blocks, rngs, strict=False)]
                for block, task in zip(blocks, tasks, strict=True):
                    groups[block] = task.result()
                run.offer(from_groups(groups, problem.columns))
                if run.should_stop(iterations=steps * len(blocks)):
                    break
