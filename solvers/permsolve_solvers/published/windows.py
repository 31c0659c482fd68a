"""What channel-swap and stripe-groups share: the best change of every window of groups, kept up to date."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import UnsupportedProblemError
from permsolve.kernels.scoring import group_values
from permsolve.permutation import from_groups, to_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve_solvers.published import kernels

Groups = NDArray[np.int64]
Windows = NDArray[np.int32]

# A window takes 18 bytes (two groups) or 22 (three).
MAX_WINDOWS = 20_000_000
# Elementary steps between two questions whether to stop: some tens of milliseconds.
SLICE = 30_000_000


class Neighbourhood(Protocol):
    """The changes that a method looks at in one window."""

    @property
    def size(self) -> int:
        """Groups in a window."""

    @property
    def steps(self) -> int:
        """About how many elementary steps :meth:`evaluate` takes per window."""

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
        """Write gain (0 if there is none) and number of the best change of each window in ``which``."""

    def changed(self, members: Groups, choice: int, /) -> Groups:
        """The groups of a window after a change."""


def all_windows(count: int, size: int) -> Windows:
    """All sets of ``size`` of ``count`` groups, ascending, in lexicographic order."""
    if size == 1:
        return np.arange(count, dtype=np.int32)[:, None]
    tails = all_windows(count, size - 1)
    starts = np.searchsorted(tails[:, 0], np.arange(1, count + 1))
    windows = np.empty((math.comb(count, size), size), np.int32)
    done = 0
    for first, start in enumerate(starts.tolist()):
        length = tails.shape[0] - start
        windows[done : done + length, 0] = first
        windows[done : done + length, 1:] = tails[start:]
        done += length
    return windows


def check_window_count(solver: str, problem: Problem, size: int) -> None:
    """Refuse a problem with too many windows to hold.

    Raises
    ------
    UnsupportedProblemError
        When there are more than ``MAX_WINDOWS``.
    """
    count = math.comb(problem.group_count, size)
    if count > MAX_WINDOWS:
        raise UnsupportedProblemError(
            f"{solver} cannot hold {count} sets of {size} groups of {problem.rows} x {problem.columns} at "
            f"{problem.pattern} (limit: {MAX_WINDOWS}); use another solver"
        )


@dataclass(eq=False)
class Descent:
    """Improve windows, best first, until no window improves; escape; go on.

    A pass looks at every window that holds a group touched by the pass before, sorts all windows that can be
    improved by their gain (equal ones by their number) and changes them in this order, leaving out those that
    share a group with one changed before it in the same pass.

    Parameters
    ----------
    problem : Problem
        The problem.
    run : Run
        Its best permutation is where to start; receives every improvement.
    neighbourhood : Neighbourhood
        The changes of one window.
    """

    problem: Problem
    run: Run
    neighbourhood: Neighbourhood

    def __post_init__(self) -> None:
        self._groups = to_groups(self.run.permutation, self.problem.pattern)
        self._values = self._score(self._groups)
        self._offered = float(self._values.sum())
        self._windows = all_windows(self._groups.shape[0], self.neighbourhood.size)
        self._gains = np.zeros(self._windows.shape[0])
        self._choices = np.zeros(self._windows.shape[0], np.int16)
        self._touched = np.ones(self._groups.shape[0], np.bool_)

    def search(self, escapes: int) -> None:
        """Descend, then ``escapes`` times swap two random columns and descend again; stop when the run says so."""
        (rng,) = self.run.generators(1)
        self._descend()
        for _ in range(escapes):
            if self.run.should_stop():
                return
            self._escape(rng)
            self._descend()

    def _score(self, groups: Groups) -> NDArray[np.float64]:
        values = np.empty(groups.shape[0], np.float64)
        group_values(self.problem.working, groups, self.problem.pattern.n, values)
        return values

    def _descend(self) -> None:
        changed = True
        while changed and not self.run.should_stop():
            self._refresh()
            changed = self._apply()
            self._offer()

    def _refresh(self) -> None:
        """Bring gains up to date; when the run must stop, those not looked at are 0."""
        stale = np.flatnonzero(self._touched[self._windows].any(axis=1))
        self._touched[:] = False
        self._gains[stale] = 0.0
        per_slice = max(1, SLICE // self.neighbourhood.steps)
        for start in range(0, stale.shape[0], per_slice):
            if self.run.should_stop():
                return
            some = np.ascontiguousarray(stale[start : start + per_slice])
            self.neighbourhood.evaluate(
                self._groups, self._windows, some, self._gains, self._choices, self.run.should_stop
            )
            self.run.iteration += 1

    def _apply(self) -> bool:
        """Change disjoint windows in descending order of gain; whether there was one."""
        better = np.flatnonzero(self._gains > 0.0)
        order = better[np.argsort(-self._gains[better], kind="stable")]
        chosen = kernels.disjoint(self._windows, order, self._groups.shape[0])
        for window in chosen.tolist():
            members = self._windows[window]
            after = np.ascontiguousarray(self.neighbourhood.changed(self._groups[members], int(self._choices[window])))
            values = self._score(after)
            if values.sum() <= self._values[members].sum():  # the gain was rounding
                self._gains[window] = 0.0
                continue
            self._groups[members] = after
            self._values[members] = values
            self._touched[members] = True
        return bool(chosen.shape[0])

    def _escape(self, rng: np.random.Generator) -> None:
        """Swap two random columns of two random groups."""
        count, m = self._groups.shape
        pair = np.sort(rng.choice(count, 2, replace=False))
        places = [int(rng.integers(m - self.problem.padding if group == count - 1 else m)) for group in pair]
        self._groups[pair, places] = self._groups[pair[::-1], places[::-1]]
        self._values[pair] = self._score(np.ascontiguousarray(self._groups[pair]))
        self._touched[pair] = True

    def _offer(self) -> None:
        total = float(self._values.sum())
        if total > self._offered:
            self._offered = total
            self.run.offer(from_groups(self._groups, self.problem.columns))
