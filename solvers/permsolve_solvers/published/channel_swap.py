"""The ``channel-swap`` solver."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from permsolve.checks import require_whole
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.published import kernels
from permsolve_solvers.published.windows import Descent, Groups, Windows, check_window_count


@dataclass(frozen=True, slots=True)
class ChannelSwap:
    """Greedy swaps of two columns, the method of TETRIS as adapted to 2:4 sparsity.

    A pass computes what every swap of two columns of different groups gains and makes the swaps that gain, in
    descending order, leaving out those whose groups were already changed in this pass; passes follow until no swap
    gains. Of two groups only their best swap can be made in a pass, so only that is remembered. An escape swaps two
    random columns and goes on from there; the best permutation seen is the answer. One iteration is one slice of
    the pairs of groups.

    Parameters
    ----------
    escapes : int, default 0
        Escapes from local optima.

    Raises
    ------
    InvalidOptionError
        When ``escapes`` is not an integer >= 0.

    References
    ----------
    Y. Ji, L. Liang, L. Deng, Y. Zhang, Y. Zhang, Y. Xie: TETRIS: TilE-matching the TRemendous Irregular Sparsity,
    NeurIPS 2018. J. Pool, C. Yu: Channel Permutations for N:M Sparsity, NeurIPS 2021.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "published: greedy swaps of two columns, best first (TETRIS; Pool & Yu 2021)", warm_start=True, compiled=True
    )

    escapes: int = 0

    def __post_init__(self) -> None:
        require_whole("channel-swap", "escapes", self.escapes, 0)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Swap until nothing gains and all escapes are spent, or until the run says stop."""
        if problem.group_count < 2:
            return Outcome()
        check_window_count("channel-swap", problem, 2)
        if not run.should_stop():
            Descent(problem, run, _Swaps(problem)).search(self.escapes)
        return Outcome()


@dataclass(frozen=True, slots=True)
class _Swaps:
    """Swaps of two columns of two groups; a change is numbered position * M + position."""

    problem: Problem

    @property
    def size(self) -> int:
        return 2

    @property
    def steps(self) -> int:
        return self.problem.rows * (2 * self.problem.pattern.m) ** 2

    def evaluate(
        self,
        groups: Groups,
        windows: Windows,
        which: NDArray[np.int64],
        gains: NDArray[np.float64],
        choices: NDArray[np.int16],
        should_stop: Callable[[], bool],
        /,
    ) -> None:
        problem = self.problem
        kernels.best_swaps(problem.working, groups, windows, which, problem.pattern.n, problem.columns, gains, choices)

    def changed(self, members: Groups, choice: int, /) -> Groups:
        first, second = divmod(choice, self.problem.pattern.m)
        after = members.copy()
        after[0, first], after[1, second] = members[1, second], members[0, first]
        return after
