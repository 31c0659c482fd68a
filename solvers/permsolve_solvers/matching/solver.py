"""The ``matching`` solver."""

from dataclasses import dataclass
from typing import ClassVar

from permsolve.checks import require_whole
from permsolve.cores import Threads
from permsolve.permutation import from_groups, to_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.matching.exact import solve_pairs
from permsolve_solvers.matching.pairs import PairMoves


@dataclass(frozen=True, slots=True)
class Matching:
    """Maximum-weight perfect matching: exact for M = 2, a descent on halves of groups otherwise.

    With M = 2 a partition is a perfect matching of the columns, so the optimum is found and proven (up to
    ``exact_columns`` columns). With larger M every group is split at random into two halves and the halves are
    matched anew (:class:`.PairMoves`), a neighbourhood that swaps and assignment moves do not contain; it
    starts from the given permutation and ends when it fails to improve it ``patience`` times. One iteration is
    one matching; a matching that has begun is not interrupted.

    Parameters
    ----------
    patience : int, default 30
        Fruitless passes over all groups, each with new random halves, after which it ends; >= 1.
    partners : int, default 20
        Partners of each half in the graph that is matched; >= 1.
    exact_columns : int, default 2048
        Most columns of a problem with M = 2 that is solved exactly; beyond, columns are re-matched in parts, without a
        proof. Memory grows with the square (some 40 bytes per pair of columns), time with the cube: about 4 s for
        2048 columns, 30 s for 4096, and the scoring of all pairs (2 workers: 10 s for 2048 x 2048).
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "maximum-weight matching: proves the optimum for M = 2, re-matches halves of groups for larger M",
        warm_start=True,
        parallel=True,
        compiled=True,
        warm_up_columns=48,  # of pairs, which are then proven by triples
        needs=("rustworkx",),
    )

    patience: int = 30
    partners: int = 20
    exact_columns: int = 2048

    def __post_init__(self) -> None:
        for name in ("patience", "partners", "exact_columns"):
            require_whole("matching", name, getattr(self, name), 1)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Match until nothing is left to gain or the run says stop."""
        if run.should_stop():
            return Outcome()
        if problem.pattern.m == 2 and problem.columns <= self.exact_columns:
            return solve_pairs(problem, run)
        self._descend(problem, run)
        return Outcome()

    def _descend(self, problem: Problem, run: Run) -> None:
        groups = to_groups(run.permutation, problem.pattern)
        if groups.shape[0] - (problem.padding > 0) < 2:
            return
        (rng,) = run.generators(1)
        with Threads(run.workers) as pool:
            moves = PairMoves(problem, groups, pool, run.workers, rng, self.partners)
            failures = 0
            while failures < self.patience * moves.parts:
                failures = 0 if moves.move() else failures + 1
                if failures == 0:
                    run.offer(from_groups(groups, problem.columns))
                if run.should_stop(iterations=1):
                    break
