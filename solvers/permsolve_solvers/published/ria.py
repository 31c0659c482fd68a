"""The ``ria`` solver."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from permsolve.kernels.exchange import BATCH, exchange
from permsolve.kernels.scoring import group_values
from permsolve.permutation import from_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome

# Assignment problems larger than this are split: their time grows with the cube of the size.
MAX_ASSIGNMENT = 1024
# Elementary steps between two questions whether to stop: some tens of milliseconds.
SLICE = 100_000_000

Groups = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ria:
    """Heuristic allocation and one pass of linear assignment: the channel permutation that comes with RIA.

    The columns, sorted by the sum of their saliency, are dealt to the groups in snake order; the k-th
    of M rounds then takes the k-th column out of every group and puts these columns back in the best
    way. It is not repeated, and the permutation given to start from is not used. More than 1024
    groups are split into blocks, whose groups are spread evenly. One iteration is one assignment problem.

    References
    ----------
    Y. Zhang, H. Bai, H. Lin, J. Zhao, L. Hou, C. V. Cannistraci: Plug-and-Play: An Efficient Post-training Pruning
    Method for Large Language Models, ICLR 2024.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "published: snake-order allocation, then M rounds of assignment (Zhang et al. 2024)", compiled=True
    )

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Allocate, reassign each position once, and offer what comes of it."""
        if run.should_stop():
            return Outcome()
        groups = _allocate(problem)
        run.offer(from_groups(groups, problem.columns))
        full = problem.group_count - 1 if problem.padding else problem.group_count
        parts = -(-problem.group_count // MAX_ASSIGNMENT)
        for position in range(problem.pattern.m):
            takers = problem.group_count if position < problem.pattern.m - problem.padding else full
            for part in range(parts):  # interleaved, so that each part has light and heavy groups
                if not _reassign(problem, run, groups, np.arange(part, takers, parts), position):
                    return Outcome()
                run.iteration += 1
            run.offer(from_groups(groups, problem.columns))
        return Outcome()


def _allocate(problem: Problem) -> Groups:
    """Deal the columns, heaviest first, to the groups: forwards, then backwards, and so on."""
    m = problem.pattern.m
    count = problem.group_count
    weight = problem.working.sum(axis=1, dtype=np.float64)[: problem.columns]
    order = np.argsort(-weight, kind="stable").astype(np.int64)
    groups = np.empty((count, m), np.int64)
    groups[-1] = np.arange((count - 1) * m, count * m)  # the last ones may be padding
    dealt = 0
    for position in range(m):
        takers = count if position < m - problem.padding else count - 1
        some = order[dealt : dealt + takers]
        groups[:takers, position] = some if position % 2 == 0 else some[::-1]
        dealt += takers
    return groups


def _reassign(problem: Problem, run: Run, groups: Groups, mine: NDArray[np.int64], position: int) -> bool:
    """Redistribute the columns that these groups have at a position; False when the run must stop first."""
    members = np.column_stack([mine, np.full(mine.shape[0], position)])
    columns = np.ascontiguousarray(groups[mine, position])
    gain = np.empty((mine.shape[0], mine.shape[0]), np.float32)
    targets = np.arange(mine.shape[0])
    step = max(1, SLICE // (max(1, mine.shape[0]) * problem.rows) // BATCH) * BATCH
    for start in range(0, mine.shape[0], step):
        if run.should_stop():
            return False
        some = slice(start, start + step)
        exchange(problem.working, groups, members[some], problem.pattern.n, columns, 0, gain, targets[some])
    if run.should_stop():
        return False
    _, taken = linear_sum_assignment(gain, maximize=True)
    after = groups[mine]
    after[:, position] = columns[taken]
    if _value(problem, after) > _value(problem, groups[mine]):  # the gains were float32
        groups[mine] = after
    return True


def _value(problem: Problem, groups: Groups) -> float:
    values = np.empty(groups.shape[0], np.float64)
    group_values(problem.working, groups, problem.pattern.n, values)
    return float(values.sum())
