"""``recombine``: the best of several runs, made of the groups of all of them."""

import itertools
from concurrent.futures import wait
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from permsolve.checks import require_whole
from permsolve.cores import Threads
from permsolve.observers import Incumbent
from permsolve.permutation import to_groups
from permsolve.problem import Problem
from permsolve.registry import get_solver
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.sat.model import partition_model
from permsolve_solvers.sat.search import search

Groups = NDArray[np.int64]

# Of each run the last so many permutations that it found go into the pool.
KEPT = 40
# Most groups of the pool: beyond, those of the worst permutations are forgotten.
POOL = 20_000
# Largest share of the time left for one set partition.
PARTITION_SHARE = 0.2
# Iterations of CP-SAT for one set partition without a clock.
UNITS = 500
# Seconds between two looks at what the runs have found.
POLL = 0.02


class _Member(Run):
    """A run inside another one: it stops when that one must, and remembers what it found."""

    def __init__(self, whole: Run, problem: Problem, seed: int, seconds: float) -> None:
        self.found: list[tuple[float, NDArray[np.int64]]] = []
        self._whole = whole
        initial = whole.permutation if whole.warm else None
        super().__init__(problem, initial=initial, seed=seed, workers=1, time_limit=seconds, observer=self._collect)

    def _collect(self, incumbent: Incumbent) -> None:
        self.found.append((incumbent.value, incumbent.permutation))
        del self.found[:-KEPT]
        if not self._whole.timed:  # else it runs beside others, and the thread that started them offers
            self._whole.offer(incumbent.permutation)

    @property
    def interrupted(self) -> bool:
        return self._whole.interrupted or super().interrupted

    def should_stop(self, iterations: int = 0) -> bool:
        # Where criteria count iterations the members run one after another; by the clock they have their own limits.
        if not self._whole.timed and self._whole.should_stop(iterations):
            self.interrupt()
        return super().should_stop(iterations)


@dataclass(frozen=True, slots=True)
class Recombine:
    """Annealing runs side by side, whose groups a set partition recombines, round after round.

    Independent runs agree on many groups and differ on others; the best choice among all the groups that they found
    is a set partition over a short list (as vehicle routing codes recombine routes: Rochat & Taillard 1995), which goes
    to OR-Tools' CP-SAT with the best permutation as hint. One iteration is one swap of any run.

    Parameters
    ----------
    rounds : int, default 1
        Rounds that a time limit is divided into, >= 1. Each runs annealing once per worker. When they end early, and
        without a time limit, more follow.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "groups of several annealing runs, recombined by set partitioning (OR-Tools CP-SAT)",
        anytime=True,
        warm_start=True,
        parallel=True,
        compiled=True,
        needs=("ortools",),
    )

    rounds: int = 1

    def __post_init__(self) -> None:
        require_whole("recombine", "rounds", self.rounds, 1)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Run, pool, recombine."""
        if problem.group_count < 2 or run.should_stop():
            return Outcome()
        (rng,) = run.generators(1)
        annealing = get_solver("annealing", cycles=1)
        pool: dict[bytes, float] = {}
        with Threads(run.workers) as threads:
            for number in itertools.count():
                seconds = run.remaining / max(1, self.rounds - number) * (1.0 - PARTITION_SHARE)
                members = [
                    _Member(run, problem, int(seed), seconds) for seed in rng.integers(1 << 32, size=run.workers)
                ]
                if run.timed:
                    tasks = [threads.submit(annealing.solve, problem, member) for member in members]
                    while wait(tasks, POLL).not_done:
                        _offer_best(run, members)
                    for task in tasks:
                        task.result()
                else:
                    for member in members:
                        annealing.solve(problem, member)
                _offer_best(run, members)
                for member in members:
                    for value, permutation in member.found:
                        for group in np.sort(to_groups(permutation, problem.pattern), axis=1):
                            key = group.tobytes()
                            pool[key] = max(value, pool.get(key, value))
                swaps = sum(member.iteration for member in members)
                if run.should_stop(iterations=swaps if run.timed else 0) or not swaps:  # none: nothing will ever change
                    break
                if len(pool) > POOL:
                    pool = dict(sorted(pool.items(), key=lambda entry: -entry[1])[:POOL])
                try:
                    self._recombine(problem, run, pool)
                except MemoryError:
                    run.notes["memory"] = "not enough memory to recombine all groups: the runs alone"
                if run.should_stop():
                    break
        return Outcome()

    def _recombine(self, problem: Problem, run: Run, pool: dict[bytes, float]) -> None:
        """Offer the best partition into groups of the pool."""
        best = np.sort(to_groups(run.permutation, problem.pattern), axis=1)
        listed = np.frombuffer(b"".join(pool), np.int64).reshape(-1, problem.pattern.m)
        groups = np.unique(np.concatenate([best, listed]), axis=0)
        held = {group.tobytes() for group in best}
        used = np.array([group.tobytes() in held for group in groups])
        exponent = int(np.frexp(problem.row_bound / problem.group_count)[1])
        values = np.ldexp(problem.group_values(groups), -exponent)
        model = partition_model(groups, values, 0.0, used, problem.columns + problem.padding)
        with run.limited(PARTITION_SHARE * run.remaining):
            search(model, problem, run, units=0 if run.timed else UNITS)


def _offer_best(run: Run, members: list[_Member]) -> None:
    best = max(members, key=lambda member: member.value)
    if best.value > run.value:
        run.offer(best.permutation)
