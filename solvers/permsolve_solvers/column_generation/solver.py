"""The ``column-generation`` solver."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from permsolve.certificate import Certificate, Node
from permsolve.checks import is_number
from permsolve.errors import InvalidOptionError, UnsupportedProblemError
from permsolve.permutation import from_groups, to_groups
from permsolve.problem import Problem
from permsolve.registry import get_solver
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.pricing.generation import Generation
from permsolve_solvers.pricing.pricers import Groups, Pricer, Values, make_pricer
from permsolve_solvers.set_partition import best_partition

# Most groups that branching takes on; with more left, a partial search looks for a better permutation first.
_BRANCHED = 40_000
_LISTED = 400_000
_PROMISING = 6_000
# Seconds that a partial search may take, as a share of what is left.
_PARTIAL = 0.3
# Share of what is left for more annealing when a partial search found nothing.
_AGAIN = 0.5
# Seconds of annealing before the proof for 64 columns; they grow with the cube of the columns.
_START = 0.5


@dataclass(frozen=True, slots=True)
class ColumnGeneration:
    """Set-partition linear programme over all groups, then branch and bound: a bound early, the optimum at last.

    Every way to choose M columns is a variable, but only those that the prices of the columns call for enter the linear
    programme; a pass over all groups finds them and gives a valid bound whenever the search is stopped. Once the
    programme is solved, only groups whose reduced cost is within the distance between the bound and the best
    permutation can be in a better one: those few are listed, and branch and bound with subset-row cuts finishes.
    One iteration is one round of prices or one node. Any number of rows; 2:4 up to about 512 columns, where a pass
    takes about a minute on two cores, others as long as all groups can be listed (12 million).

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
        exponent = int(np.frexp(problem.row_bound / problem.group_count)[1])
        with ThreadPoolExecutor(run.workers) as pool:
            pricer = make_pricer(problem, run, pool, exponent)
            if pricer is None:
                if run.stop_reason is not None:
                    return Outcome()
                raise UnsupportedProblemError(
                    f"column-generation cannot price the {math.comb(width, problem.pattern.m):.2g} groups of "
                    f"{problem.rows} x {problem.columns} at {problem.pattern}"
                )
            if not run.warm:
                if run.timed:
                    _anneal(problem, run, min(self.start * run.remaining, _START * (problem.columns / 64) ** 3))
                else:
                    get_solver("annealing", cycles=1).solve(problem, run)
            if run.should_stop():
                return Outcome()

            def score(groups: Groups) -> Values:
                return np.ldexp(problem.group_values(groups), -exponent)

            generation = Generation(run, pricer, width, exponent, score)
            generation.start(np.sort(to_groups(run.permutation, problem.pattern), axis=1))
            if not generation.solve() or not self.branch:
                return Outcome()
            return _finish(problem, run, generation, pricer)


def _anneal(problem: Problem, run: Run, seconds: float) -> None:
    """Improve the permutation by annealing."""
    with run.limited(seconds):
        get_solver("annealing").solve(problem, run)


def _finish(problem: Problem, run: Run, generation: Generation, pricer: Pricer) -> Outcome:
    """Improve the permutation by what the linear programme suggests, then prove what is left to prove."""
    width = problem.columns + problem.padding
    unit = -generation.exponent

    def value() -> float:
        return float(np.ldexp(run.value, unit))

    def take(groups: Groups) -> None:
        run.offer(from_groups(groups, problem.columns))

    while not run.should_stop(iterations=1):
        left = pricer.above(generation.duals, value() - generation.bound, _LISTED)
        many = left is None or left.shape[0] > _BRANCHED
        if left is None:
            left = generation.groups
        if many:  # the most promising ones first: a better permutation leaves fewer
            reduced = generation.score(left) - generation.duals[left].sum(axis=1)
            left = left[np.argsort(-reduced, kind="stable")[:_PROMISING]]
        if run.should_stop():
            break
        incumbent = np.sort(to_groups(run.permutation, problem.pattern), axis=1)
        groups = np.unique(np.concatenate([incumbent, left]), axis=0)
        values = generation.score(groups)
        before = run.value
        solved = best_partition(
            groups,
            values,
            width,
            time_limit=run.remaining * (_PARTIAL if many else 1.0),
            incumbent=_numbers(groups, incumbent),
            should_stop=lambda: run.should_stop(iterations=1),
        )
        if solved.chosen is not None:
            take(groups[solved.chosen])
        if not many:
            root = Node(np.ldexp(generation.duals, -unit), children=1)
            bound = min(float(np.ldexp(max(solved.bound, value()), -unit)), run.bound)
            tree = tuple(
                Node(np.ldexp(n.duals, -unit), n.odd_sets, np.ldexp(n.weights, -unit), n.children, n.pair)
                for n in solved.nodes
            )
            proof = Certificate("branching", run.value if solved.proven else bound, (root, *tree))
            return Outcome(proven=solved.proven, bound=bound, certificate=proof)
        if run.value <= before:
            if not run.timed:
                return Outcome()
            _anneal(problem, run, _AGAIN * run.remaining)
    return Outcome()


def _numbers(groups: Groups, chosen: Groups) -> Groups:
    """Where each chosen group stands in the list."""
    place = {tuple(group): number for number, group in enumerate(groups.tolist())}
    return np.array([place[tuple(group)] for group in chosen.tolist()], np.int64)
