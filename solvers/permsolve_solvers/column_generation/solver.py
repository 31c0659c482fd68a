"""The ``column-generation`` solver."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from permsolve.certificate import Certificate, Node
from permsolve.checks import is_number
from permsolve.cores import Threads
from permsolve.errors import InvalidOptionError, UnsupportedProblemError
from permsolve.permutation import from_groups, to_groups
from permsolve.problem import Problem
from permsolve.registry import get_solver
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.pricing.generation import Generation, first_prices
from permsolve_solvers.pricing.pricers import Groups, Pricer, Values, make_pricer, priceable
from permsolve_solvers.set_partition import best_partition
from permsolve_solvers.set_partition.improve import improve

# Most groups that are listed as those that can be in a better partition; with more, only those within this share of
# the gap, and so on.
_LISTED = 1_000_000
_FEWER = 0.4
# Share of what is left for improving the permutation over the listed groups, and, when not all were listed and that
# found nothing, for annealing again.
_IMPROVING = 0.2
# Most seconds for improving over each listed group: what it finds, it finds soon (measured).
_IMPROVING_GROUP = 5e-5
_AGAIN = 0.5
# Where branching over the listed groups would take longer than there is, by its seconds for the square of their number
# (measured), annealing gets this share of the time first.
_BRANCHING = 1.5e-7
_ANNEALING = 0.9
# Seconds for each listed group before anything comes of it (measured): with less there is no point to begin.
_SETTING_UP = 8e-6
# Seconds of annealing before the proof for 64 columns; they grow with the cube of the columns.
_START = 0.5


@dataclass(frozen=True, slots=True)
class ColumnGeneration:
    """Set-partition linear programme over all groups, then branch and bound: a bound early, the optimum at last.

    Every way to choose M columns is a variable, but only those that the prices of the columns call for enter the linear
    programme; a pass over all groups finds them and gives a valid bound whenever the search is stopped. Once the
    programme is solved, only groups whose reduced cost is within the distance between the bound and the best
    permutation can be in a better one: those few are listed, some groups of the permutation at a time are
    re-partitioned over that list, and branch and bound with subset-row cuts finishes. The optimum is proven up to a
    relative 1e-10. One iteration is one round of prices or one node. Any number of rows; 2:4 up to about 1500 columns;
    a pass over all groups of 512 x 512 takes about 9 seconds on two cores and grows with the fourth power of the
    columns. Other patterns as long as all groups can be listed (12 million).

    Parameters
    ----------
    start : float, default 0.3
        Largest share of a time limit spent on annealing at first, unless a permutation is given; 0 <= start < 1.
        The better the first permutation, the faster the proof.
    branch : bool, default True
        Whether to go on to the integer solution; without, the search ends with the linear programme's bound.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "linear programme over all groups, priced in full, then branch and bound: certified bounds, proven optima",
        exact=True,
        warm_start=True,
        parallel=True,
        compiled=True,
        warm_up=30_000,  # annealing comes first
        needs=("highspy",),
    )

    start: float = 0.3
    branch: bool = True

    def __post_init__(self) -> None:
        if not is_number(self.start) or not 0.0 <= self.start < 1.0:
            raise InvalidOptionError(f"column-generation: start must be a number from 0 up to 1, got {self.start!r}")
        if not isinstance(self.branch, bool):
            raise InvalidOptionError(f"column-generation: branch must be True or False, got {self.branch!r}")

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Generate, fix, branch."""
        if run.should_stop():
            return Outcome()
        width = problem.columns + problem.padding
        if problem.row_bound <= 0.0:
            return Outcome(proven=True)
        if not priceable(problem):
            raise UnsupportedProblemError(
                f"column-generation cannot price the {math.comb(width, problem.pattern.m):.2g} groups of "
                f"{problem.rows} x {problem.columns} at {problem.pattern}"
            )
        if not run.warm:
            if run.timed:
                _anneal(problem, run, min(self.start * run.remaining, _START * (problem.columns / 64) ** 3))
            else:
                get_solver("annealing", cycles=1).solve(problem, run)
        exponent = int(np.frexp(problem.row_bound / problem.group_count)[1])
        with Threads(run.workers) as pool:
            pricer = None if run.should_stop() else make_pricer(problem, run, pool, exponent)
            if pricer is None:
                return Outcome()

            def score(groups: Groups) -> Values:
                scaled: Values = np.ldexp(problem.group_values(groups), -exponent)
                return scaled

            generation = Generation(run, pricer, width, exponent, score)
            generation.start(np.sort(to_groups(run.permutation, problem.pattern), axis=1))
            if not generation.solve(first_prices(problem, run.value, exponent)) or not self.branch:
                return Outcome()
            return _finish(problem, run, generation, pricer)


def _anneal(problem: Problem, run: Run, seconds: float) -> None:
    """Improve the permutation by annealing."""
    with run.limited(seconds):
        get_solver("annealing").solve(problem, run)


def _anneal_again(problem: Problem, run: Run, seconds: float, rng: np.random.Generator) -> None:
    """Anneal from the heat, otherwise than before."""
    with run.limited(seconds), run.afresh(int(rng.integers(1 << 32))):
        get_solver("annealing").solve(problem, run)


def _finish(problem: Problem, run: Run, generation: Generation, pricer: Pricer) -> Outcome:
    """Improve the permutation by what the linear programme suggests, then prove what is left to prove."""
    unit = -generation.exponent
    (rng,) = run.generators(1)
    annealed = not run.timed
    while not run.should_stop(iterations=1):
        gap = generation.bound - float(np.ldexp(run.value, unit))
        left, whole = _near(run, pricer, generation.duals, gap)
        if left is None:
            break
        if not annealed and (not whole or _BRANCHING * len(left) ** 2 > run.remaining):
            _anneal_again(problem, run, _ANNEALING * run.remaining, rng)
            annealed = True
            continue
        if run.remaining < _SETTING_UP * len(left):
            break
        incumbent = np.sort(to_groups(run.permutation, problem.pattern), axis=1)
        groups = np.unique(np.concatenate([incumbent, left]), axis=0)
        values = generation.score(groups)
        reduced = values - generation.duals[groups].sum(axis=1)
        before = run.value
        seconds = min(_IMPROVING * run.remaining, _IMPROVING_GROUP * len(groups)) if run.timed else run.remaining
        with run.limited(seconds):
            stop = partial(run.should_stop, iterations=1)
            incumbent = improve(groups, reduced, incumbent, rng, stop, lambda: run.remaining)
        run.offer(from_groups(incumbent, problem.columns))
        if run.should_stop():
            break
        if whole:
            near = reduced >= float(np.ldexp(run.value, unit)) - generation.bound
            return _branch(problem, run, generation, groups[near], values[near])
        if run.value <= before:
            if not run.timed:
                break
            _anneal_again(problem, run, _AGAIN * run.remaining, rng)
    return Outcome()


def _near(run: Run, pricer: Pricer, duals: Values, gap: float) -> tuple[Groups | None, bool]:
    """The groups that can be in a better partition, and whether these are all: of many, those of largest reduced cost.

    None when the run stopped before.
    """
    share = 1.0
    while not run.should_stop():
        left = pricer.above(duals, -share * gap, _LISTED)
        if left is not None:
            return left, share == 1.0
        share *= _FEWER
    return None, False


def _branch(problem: Problem, run: Run, generation: Generation, groups: Groups, values: Values) -> Outcome:
    """Branch and bound over the groups that can be in a better partition."""
    incumbent = np.sort(to_groups(run.permutation, problem.pattern), axis=1)
    place = {tuple(group): number for number, group in enumerate(groups.tolist())}
    missing = np.array([tuple(group) not in place for group in incumbent.tolist()])
    place |= {tuple(group): len(groups) + number for number, group in enumerate(incumbent[missing].tolist())}
    groups = np.concatenate([groups, incumbent[missing]])
    values = np.concatenate([values, generation.score(incumbent[missing])])
    solved = best_partition(
        groups,
        values,
        problem.columns + problem.padding,
        time_limit=run.remaining,
        incumbent=np.array([place[tuple(group)] for group in incumbent.tolist()]),
        should_stop=lambda: run.should_stop(iterations=1),
        workers=run.workers if run.timed else 1,
    )
    assert solved.chosen is not None  # the incumbent at least
    run.offer(from_groups(groups[solved.chosen], problem.columns))
    exponent = generation.exponent
    bound = min(max(float(np.ldexp(solved.bound, exponent)), run.value), run.bound)
    root = Node(generation.duals, children=1).stating(generation.excess, problem.group_count)
    tree = (root, *solved.nodes)
    proof = Certificate(
        "branching", run.value if solved.proven else bound, tuple(node.scaled(exponent) for node in tree)
    )
    return Outcome(proven=solved.proven, bound=bound, certificate=proof)
