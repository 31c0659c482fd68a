"""The ``stripe-groups`` solver."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from permsolve.checks import is_whole, require_whole
from permsolve.errors import InvalidOptionError, UnsupportedProblemError
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.published import kernels
from permsolve_solvers.published.windows import SLICE, Descent, Groups, Windows, check_window_count

MAX_PARTITIONS = 20_000
MAX_STEPS = 10**13  # of a pass over all windows: some hours


def partition_count(m: int, window: int) -> int:
    """Number of ways to split ``window`` groups' columns into groups of ``m``."""
    return math.factorial(m * window) // int(math.factorial(m) ** window * math.factorial(window))


@dataclass(frozen=True, slots=True)
class StripeGroups:
    """Optimal re-partition of every two or three groups, best first.

    A pass tries all distinct partitions of the columns of every window of groups (35 for two groups of four, 5775
    for three) and makes the best ones, in descending order of gain, leaving out windows with a group already
    changed in this pass; then only windows with a changed group are looked at again. It ends when no window
    improves. An escape swaps two random columns of two random groups and goes on from there; the best
    permutation seen is the answer. One iteration is one slice of windows.

    Parameters
    ----------
    window : int, default 2
        Groups in a window, 2 or 3: "window 8" and "window 12" of the paper when M = 4.
    escapes : int, default 0
        Escapes from local optima.

    Raises
    ------
    InvalidOptionError
        When an option has another value.

    References
    ----------
    J. Pool, C. Yu: Channel Permutations for N:M Sparsity, NeurIPS 2021.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "published: best partition of every 2 or 3 groups, best first (Pool & Yu 2021)",
        warm_start=True,
        patterns="M <= 8 (window 2), M <= 4 (window 3)",
        compiled=True,
    )

    window: int = 2
    escapes: int = 0

    def __post_init__(self) -> None:
        if not is_whole(self.window) or self.window not in (2, 3):
            raise InvalidOptionError(f"stripe-groups: window must be 2 or 3 groups, got {self.window!r}")
        require_whole("stripe-groups", "escapes", self.escapes, 0)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Improve windows until nothing gains and all escapes are spent, or until the run says stop.

        Raises
        ------
        UnsupportedProblemError
            When a window has more than 20000 partitions, or there are too many windows.
        """
        size = min(self.window, problem.group_count)
        if size < 2:
            return Outcome()
        _check(problem, size)
        if not run.should_stop():
            Descent(problem, run, _Partitions(problem, size)).search(self.escapes)
        return Outcome()


def _check(problem: Problem, size: int) -> None:
    """Refuse what would never end."""
    m = problem.pattern.m
    partitions = partition_count(m, size)
    if partitions > MAX_PARTITIONS:
        raise UnsupportedProblemError(
            f"stripe-groups cannot try all {partitions} partitions of {size} groups of {m} columns "
            f"(limit: {MAX_PARTITIONS}); use " + ("window=2 or " if size == 3 and m <= 8 else "") + "another solver"
        )
    check_window_count("stripe-groups", problem, size)
    windows = math.comb(problem.group_count, size)
    steps = windows * _window_steps(problem, size)
    if steps > MAX_STEPS:
        raise UnsupportedProblemError(
            f"stripe-groups cannot finish {problem.rows} x {problem.columns} at {problem.pattern}: {windows} sets of "
            f"{size} groups, {partitions} partitions each, take about 10^{math.log10(steps):.1f} steps a pass "
            f"(limit: 10^{math.log10(MAX_STEPS):.0f}); use another solver"
        )


def _window_steps(problem: Problem, size: int) -> int:
    m = problem.pattern.m
    scoring = math.comb(size * m, m) * problem.rows * m * max(1, problem.pattern.n // 2)
    return scoring + partition_count(m, size) * size


@lru_cache(maxsize=16)
def _tables(m: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """All sets of M positions in a window, and the partitions as numbers of such sets.

    The first partition is what is there now; the part with the last position is always the last.
    """
    candidates = list(combinations(range(size * m), m))
    number = {candidate: index for index, candidate in enumerate(candidates)}

    def split(left: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if not left:
            yield ()
            return
        for others in combinations(left[1:], m - 1):
            part = (left[0], *others)
            for rest in split(tuple(position for position in left if position not in part)):
                yield number[part], *rest

    partitions = [
        sorted(partition, key=lambda part: candidates[part][-1]) for partition in split(tuple(range(size * m)))
    ]
    tables = np.array(candidates, np.int64), np.array(partitions, np.int32)
    for table in tables:
        table.flags.writeable = False
    return tables


class _Partitions:
    """Partitions of the columns of a window; a change is numbered by its place in the table."""

    def __init__(self, problem: Problem, size: int) -> None:
        self.problem = problem
        self.size = size
        self.steps = _window_steps(problem, size)
        self._candidates, self._partitions = _tables(problem.pattern.m, size)
        # Padding columns are the last of a window that has them; they stay in one group.
        last = self._candidates[self._partitions[:, -1]]
        self._allowed = (last >= size * problem.pattern.m - problem.padding).sum(axis=1) == problem.padding

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
        if self.steps > 2 * SLICE:
            for window in which.tolist():
                self._evaluate_slowly(groups, windows, window, gains, choices, should_stop)
            return
        kernels.best_partitions(
            self.problem.working,
            groups,
            windows,
            which,
            self.problem.pattern.n,
            self.problem.columns,
            self._candidates,
            self._partitions,
            self._allowed,
            gains,
            choices,
        )

    def _evaluate_slowly(
        self,
        groups: Groups,
        windows: Windows,
        window: int,
        gains: NDArray[np.float64],
        choices: NDArray[np.int16],
        should_stop: Callable[[], bool],
    ) -> None:
        """One window whose candidates take long to score, in parts."""
        inside = groups[windows[window]].ravel()
        sets = inside[self._candidates]
        values = np.empty(sets.shape[0], np.float64)
        parts = min(sets.shape[0], self.steps // SLICE + 1)
        for some, target in zip(np.array_split(sets, parts), np.array_split(values, parts), strict=True):
            if should_stop():
                return
            kernels.score(self.problem.working, some, self.problem.pattern.n, target)
        padded = inside[-1] >= self.problem.columns
        allowed = self._allowed if padded else np.ones_like(self._allowed)
        choices[window], gains[window] = kernels.best_partition(values, self._partitions, allowed)

    def changed(self, members: Groups, choice: int, /) -> Groups:
        after: Groups = members.ravel()[self._candidates[self._partitions[choice]]]
        return after
