"""Building groups in M rounds, each an assignment problem."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from permsolve.kernels.exchange import exchange
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome

# Assignment problems larger than this are split: their time grows with the cube of the size.
MAX_ASSIGNMENT = 1024


@dataclass(frozen=True, slots=True)
class Greedy:
    """Deal the columns, heaviest first, one to each group per round.

    The k-th round gives every group one more column so that what the groups keep together grows most:
    a linear assignment problem. While a group has fewer than N columns everything in it is kept, so
    early rounds maximise what it would keep under a pattern with N = k - 1 instead, which brings
    together columns that complement each other. One iteration is one round.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "constructive: M rounds of assignment, heaviest columns first", compiled=True
    )

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Build one permutation and offer it."""
        m = problem.pattern.m
        count = problem.group_count
        full = count - 1 if problem.padding else count
        short = m - problem.padding
        weight = problem.working.sum(axis=1, dtype=np.float64)[: problem.columns]
        order = np.argsort(-weight, kind="stable").astype(np.int64)
        groups = order[:count].reshape(count, 1)
        dealt = count
        for size in range(2, m + 1):
            if run.should_stop(iterations=1):
                return Outcome()
            takers = count if size <= short else full
            arrivals = order[dealt : dealt + takers]
            dealt += takers
            chosen = np.full((count, 1), -1, np.int64)
            chosen[:takers, 0] = _deal(problem, groups[:takers], arrivals)
            groups = np.hstack([groups, chosen])
        ordered = groups.ravel()
        run.offer(ordered[ordered >= 0])
        return Outcome()


def _deal(problem: Problem, groups: NDArray[np.int64], arrivals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of ``arrivals`` each group receives."""
    received = np.empty(groups.shape[0], np.int64)
    parts = -(-groups.shape[0] // MAX_ASSIGNMENT)
    for part in range(parts):  # interleaved, so that each part has light and heavy columns
        mine = slice(part, None, parts)
        some = groups[mine]
        newcomers = np.ascontiguousarray(arrivals[mine])
        size = some.shape[1] + 1
        # The last place holds a stand-in: what it is only shifts a whole row of the matrix.
        partial = np.hstack([some, some[:, :1]])
        places = np.column_stack([np.arange(some.shape[0]), np.full(some.shape[0], size - 1)])
        gain = np.empty((some.shape[0], newcomers.shape[0]), np.float32)
        kept = min(problem.pattern.n, size - 1)
        exchange(problem.working, partial, places, kept, newcomers, 0, gain, np.arange(some.shape[0]))
        _, columns = linear_sum_assignment(gain, maximize=True)
        received[mine] = newcomers[columns]
    return received
