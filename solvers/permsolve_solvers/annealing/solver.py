"""The ``annealing`` solver."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from permsolve.checks import require_positive, require_whole
from permsolve.cores import Threads
from permsolve.permutation import from_groups, to_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.annealing.chain import Chain
from permsolve_solvers.annealing.temperatures import ANCHOR_MOBILITY, Range, anchor, calibrate
from permsolve_solvers.moves.assignment import AssignmentMoves
from permsolve_solvers.moves.pace import swap_seconds
from permsolve_solvers.moves.picture import Picture
from permsolve_solvers.moves.state import Groups, Saliency, State

# Work between two looks at the clock, in maxima-and-additions (some milliseconds on one core), and at least so many
# times the number of column pairs, whose rates every look computes anew.
SLICE = 1e8
SLICE_PER_PAIR = 1000
# Share of a cycle spent at its end, below the cold temperature by this factor, to reach a local optimum.
QUENCH = 0.03
QUENCH_FACTOR = 30.0
# Swaps per column after which a cycle has cooled slowly enough: more time goes into more cycles (measured).
CYCLE = 4000
# The same of the first cycle when there is no time limit to fit into; each later one takes twice as many.
FIRST_CYCLE = 250
# A cycle asks for so many temperatures at most when no swap is left to make.
MOST_LOOKS = 100
# Rounds of assignment moves, per column of a group, that make the first local optimum, and most of the time for them.
DESCENT_ROUNDS = 4
DESCENT_SHARE = 0.08
# A warm start begins where its mobility is this: hotter, it would forget what it knows (measured).
WARM_MOBILITY = 0.0001
# A temperature this much below the spread of gains accepts gains only; work to reach a local optimum with it.
FROZEN = 1e4
DESCENT_WORK = 1e9
# A run of so many seconds has use for all the memory for groups that a chain may have (measured).
MEMORY_SECONDS = 1.0
# Work on a block, in units of the work of its exchange matrix, and work between two looks at the clock meanwhile (half
# a second of one core to two; five times as many looks cost 0.15 points of efficacy at 2048 columns).
RESIDENCE = 20.0
LOOK = 1e10


@dataclass(frozen=True, slots=True)
class Annealing:
    """Simulated annealing by swaps, drawn without rejections from the full exchange matrix.

    The exchange matrix holds what every swap would gain, so the chain of Metropolis' rule can be sampled by its
    accepted swaps alone (Bortz, Kalos & Lebowitz 1975), however rare they become. The range of temperatures is read
    from a local optimum of the problem. Every worker runs a chain of its own, cycle after cycle; a cycle is fitted into
    the time limit. One iteration is one swap made (of any worker).

    More than ``block`` columns: the groups are dealt at random into blocks, again and again, and the workers anneal
    the blocks side by side at the temperature of the moment.

    Parameters
    ----------
    hot : float, default 0.09
        First temperature, in units of the interquartile range of what a random swap changes at a local optimum. A run
        with time for few swaps starts lower.
    cold : float, default 0.34
        Last temperature, in units of the temperature at which three steps in ten would be accepted there.
    block : int, default 1024
        Most columns that are annealed together. Each worker needs ``4 * block**2`` bytes for the exchange matrix
        and 16 MB to remember groups, both twice where it looks at bytes first.
    cycles : int, optional
        Most annealing cycles of each worker; as many as the run allows when not given.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "simulated annealing by swaps without rejections, on the exchange matrix",
        anytime=True,
        warm_start=True,
        parallel=True,
        compiled=True,
    )

    hot: float = 0.09
    cold: float = 0.34
    block: int = 1024
    cycles: int | None = None

    def __post_init__(self) -> None:
        for name in ("hot", "cold"):
            require_positive("annealing", name, getattr(self, name))
        require_whole("annealing", "block", self.block, 64)
        if self.cycles is not None:
            require_whole("annealing", "cycles", self.cycles, 1)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Anneal until the run says stop."""
        # A cold start is from scratch: where another solver has ended there is no temperature to be read.
        start = run.permutation if run.warm else np.arange(problem.columns)
        groups = to_groups(start, problem.pattern)
        if groups.shape[0] < 2 or run.should_stop():
            return Outcome()
        master, *rngs = run.generators(run.workers + 1)
        with Threads(run.workers) as pool:
            if not run.warm:
                self._descend(problem, run, groups, master, pool)
            if groups.size <= self.block:
                self._anneal_whole(problem, run, groups, rngs, pool)
            else:
                self._anneal_blocks(problem, run, groups, master, rngs, pool)
        return Outcome()

    def _descend(self, problem: Problem, run: Run, groups: Groups, rng: np.random.Generator, pool: Threads) -> None:
        """A first local optimum, by assignment moves."""
        until = run.elapsed + DESCENT_SHARE * run.remaining if run.timed else math.inf

        def left() -> float:
            return until - run.elapsed

        def over() -> bool:
            return run.cut_short or left() < 0.0

        moves = AssignmentMoves(problem, groups, pool, run.workers, rng, remaining=left, stopped=over)
        for _ in range(DESCENT_ROUNDS * problem.pattern.m):
            if run.should_stop() or over():
                break
            moves.move()
        run.offer(from_groups(groups, problem.columns))

    def _anneal_whole(
        self,
        problem: Problem,
        run: Run,
        groups: Groups,
        rngs: list[np.random.Generator],
        pool: Threads,
    ) -> None:
        """One chain per worker over all columns: on the coarse saliency while hot, on the true one at the end."""
        state = State.of(problem.working, groups, problem.pattern.n, problem.columns)
        memory = min(1.0, max(run.remaining, 1e-3) / MEMORY_SECONDS) if run.timed else 1.0

        def chains(start: State) -> list[Chain]:
            states = [start, *(start.copy() for _ in rngs[1:])]
            return [Chain(one, rng, memory) for one, rng in zip(states, rngs, strict=True)]

        fine = chains(state)
        temperatures = self._calibrated(problem, fine[0], run, 1)
        picture = Picture.of(problem, state, temperatures.cold)
        hot = fine
        if picture is not None:
            hot = chains(State.of(picture.x, fine[0].state.groups, problem.pattern.n, problem.columns))
        unit = 1.0 if picture is None else picture.unit
        active = hot
        work = max(SLICE, SLICE_PER_PAIR * float(groups.size) ** 2)

        def sample(temperature: float, final: bool) -> int:
            nonlocal active
            wanted = fine if final else hot
            if wanted is not active:
                list(pool.map(lambda old, new: new.move_to(old.state.groups), active, wanted))
                active = wanted
            local = temperature if active is fine else temperature / unit
            events: int = sum(pool.map(lambda chain: chain.sample(local, work), active))
            best = max(active, key=lambda chain: chain.value)
            run.offer(from_groups(best.best, problem.columns))
            run.should_stop(iterations=events)
            return events

        self._anneal(run, temperatures, len(rngs) * problem.columns, sample)

    def _anneal_blocks(
        self,
        problem: Problem,
        run: Run,
        groups: Groups,
        rng: np.random.Generator,
        rngs: list[np.random.Generator],
        pool: Threads,
    ) -> None:
        """Deal the groups into blocks, which the workers anneal side by side, and deal again."""
        parts = -(-groups.size // self.block)

        def chain_of(x: Saliency, picked: NDArray[np.int64], rng: np.random.Generator) -> Chain:
            return Chain(State.of(x, groups[picked], problem.pattern.n, problem.columns), rng)

        first = chain_of(problem.working, rng.permutation(groups.shape[0])[::parts], rngs[0])
        temperatures = self._calibrated(problem, first, run, min(run.workers, parts), 1.0 / parts)
        picture = Picture.of(problem, first.state, temperatures.cold)

        def sample(temperature: float, final: bool) -> int:
            x, unit = (problem.working, 1.0) if final or picture is None else (picture.x, picture.unit)
            work = RESIDENCE * float(self.block) ** 2 * problem.rows * x.itemsize / 4
            looks = math.ceil(work / max(LOOK, SLICE_PER_PAIR * float(self.block) ** 2))
            events = 0
            order = rng.permutation(groups.shape[0])
            for first in range(0, parts, len(rngs)):
                if run.should_stop():
                    break
                picks = [order[part::parts] for part in range(first, min(first + len(rngs), parts))]
                chains = list(pool.map(lambda picked, rng: chain_of(x, picked, rng), picks, rngs))
                for _ in range(looks):
                    made = sum(pool.map(lambda chain: chain.sample(temperature / unit, work / looks), chains))
                    events += made
                    if run.should_stop(iterations=made):
                        break
                for picked, chain in zip(picks, chains, strict=True):
                    groups[picked] = chain.state.named(chain.state.groups)
            run.offer(from_groups(groups, problem.columns))
            return events

        self._anneal(run, temperatures, problem.columns, sample)

    def _anneal(self, run: Run, temperatures: Range, columns: int, sample: Callable[[float, bool], int]) -> None:
        """Cycles of falling temperature; ``sample`` goes on at one of them, reports and says how many swaps it made.

        It is told when the cycle is at its end, the quench, which must see the true saliency.
        """
        length = CYCLE if run.timed else FIRST_CYCLE
        for _ in itertools.count() if self.cycles is None else range(self.cycles):
            begun, done, made = run.elapsed, 0, 0
            while (share := self._share(run, begun, done / (length * columns))) < 1.0:
                cooling = share / (1.0 - QUENCH)
                final = cooling >= 1.0
                events = sample(temperatures.cold / QUENCH_FACTOR if final else temperatures.at(cooling), final)
                made += events
                done += events or length * columns // MOST_LOOKS
                if run.should_stop():
                    return
            if run.should_stop() or not made:  # no swap at any temperature: nothing will ever change
                return
            if not run.timed:
                length *= 2

    def _calibrated(self, problem: Problem, chain: Chain, run: Run, chains: int, share: float = 1.0) -> Range:
        """Where to anneal; without a permutation to start from, the chain is brought to a local optimum for that.

        So many chains divide the columns among them, of which this one has the given share.
        """
        spread = chain.state.spread(np.random.default_rng(0))
        if run.warm:
            return Range(
                anchor(chain, spread, WARM_MOBILITY * share), self.cold * anchor(chain, spread, ANCHOR_MOBILITY * share)
            )
        chain.sample(self.cold * spread / FROZEN, DESCENT_WORK)
        width = chain.state.names.size
        swaps = run.remaining / swap_seconds(problem, width) * chains / problem.columns if run.timed else math.inf
        return calibrate(chain, self.hot, self.cold, share=share, swaps=swaps)

    @staticmethod
    def _share(run: Run, begun: float, done: float) -> float:
        """Share of a cycle that is over: by the swaps done, or by the clock where that is further."""
        if not run.timed:
            return done
        return max(done, (run.elapsed - begun) / max(run.time_limit - begun, 1e-9))
