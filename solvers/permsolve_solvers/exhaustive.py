"""The oracle: every partition, by dynamic programming over sets of columns."""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from permsolve.certificate import Certificate
from permsolve.errors import UnsupportedProblemError
from permsolve.jit import njit
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome

MAX_COLUMNS = 24  # 2^24 sets: 200 MB of tables
MAX_WORK = 2 * 10**10  # some minutes
SLICE = 1 << 14


def partition_count(columns: int, m: int) -> int:
    """Number of ways to split ``columns`` columns into groups of ``m``, the last one perhaps short."""
    full, rest = divmod(columns, m)
    ways = math.factorial(columns) // (math.factorial(m) ** full * math.factorial(full))
    return int(ways // math.factorial(rest))


def work(problem: Problem) -> int:
    """Upper estimate of the elementary steps that :class:`Exhaustive` needs."""
    m = problem.pattern.m
    width = problem.group_count * m
    scoring = math.comb(width, m) * problem.rows * m * problem.pattern.n
    searching = sum(math.comb(width, g * m) * math.comb(width - 1, m - 1) for g in range(problem.group_count))
    return scoring + searching


def _magnitude(number: int) -> str:
    """The number, or about how large it is: it may have thousands of digits."""
    return str(number) if number < 10**6 else f"about 10^{math.log10(number):.1f}"


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Prove the optimum by looking at every partition.

    The best completion of a set of columns already grouped does not depend on how they are grouped, so the
    best partition of every reachable set is kept (Held-Karp style dynamic programming); the next group
    always holds the first column not yet grouped. Problems of more than 24 columns (with padding), or that
    would take more than some minutes, are refused. One iteration is one slice of sets.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        f"proves the optimum of up to {MAX_COLUMNS} columns by looking at every partition",
        exact=True,
        compiled=True,
        warm_up_columns=16,
    )

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Score all groups, run the dynamic programme, offer the optimum."""
        m = problem.pattern.m
        width = problem.group_count * m
        if width > MAX_COLUMNS or work(problem) > MAX_WORK:
            raise UnsupportedProblemError(
                f"exhaustive cannot finish {problem.rows} x {problem.columns} at {problem.pattern}: "
                f"{_magnitude(partition_count(problem.columns, m))} partitions, {_magnitude(work(problem))} steps "
                f"(limits: {MAX_COLUMNS} columns with padding, {_magnitude(MAX_WORK)} steps); use another solver"
            )
        listed = _all_groups(problem, run)
        if listed is None:
            return Outcome()
        masks, values, offsets = listed
        best = np.full(1 << width, -np.inf)
        best[0] = 0.0
        choice = np.zeros(1 << width, np.int32)
        everything = (1 << width) - 1
        for start in range(0, everything, SLICE):
            if run.should_stop():
                return Outcome()
            _extend(start, min(start + SLICE, everything), masks, values, offsets, best, choice)
            run.iteration += 1
        left = everything
        order: list[int] = []
        while left:
            group = int(masks[choice[left]])
            order = [column for column in range(width) if group >> column & 1] + order
            left &= ~group
        # The group with the padding comes last in a permutation; its padding is dropped.
        groups = np.array(order).reshape(-1, m)
        groups = groups[np.argsort(groups.max(axis=1) >= problem.columns, kind="stable")]
        run.offer(groups.ravel()[: problem.columns])
        return Outcome(proven=True, certificate=Certificate("enumeration", run.value))


def _all_groups(problem: Problem, run: Run) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]] | None:
    """Bit masks and values of all groups, ordered by first column, and where each first column begins."""
    m = problem.pattern.m
    width = problem.group_count * m
    padding = set(range(problem.columns, width))
    masks: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float64]] = []
    offsets = [0]
    for first in range(width):
        # Padding columns stay together: a group has all of them or none.
        members = [
            (first, *rest)
            for rest in combinations(range(first + 1, width), m - 1)
            if len(padding.intersection((first, *rest))) in (0, len(padding))
        ]
        groups = np.array(members, np.int64).reshape(-1, m)
        masks.append((1 << groups).sum(axis=1))
        values.append(problem.group_values(groups))
        offsets.append(offsets[-1] + len(members))
        if run.should_stop():
            return None
    return np.concatenate(masks), np.concatenate(values), np.array(offsets, np.int64)


@njit(cache=True, nogil=True)
def _extend(start, stop, masks, values, offsets, best, choice):  # type: ignore[no-untyped-def]
    """Add every group that holds the first free column to every reachable set in ``[start, stop)``."""
    for done in range(start, stop):
        if best[done] == -np.inf:
            continue
        first = 0
        while done >> first & 1:
            first += 1
        for g in range(offsets[first], offsets[first + 1]):
            if masks[g] & done == 0:
                together = done | masks[g]
                value = best[done] + values[g]
                if value > best[together]:
                    best[together] = value
                    choice[together] = g
