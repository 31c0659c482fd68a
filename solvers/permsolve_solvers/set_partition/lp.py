"""The set-partition linear programme over a list of groups, on HiGHS."""

from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

Groups = NDArray[np.int64]
Values = NDArray[np.float64]
Triple = tuple[int, int, int]

# Bounds are recomputed from the duals, so it decides how tight they are, not whether they hold.
_TOLERANCE = 1e-9
_MOST_ITERATIONS = 10**6
# Seconds after which a programme is taken to be stuck, and those of an estimate.
_STUCK = 60.0
_GLANCE_SECONDS = 0.5


class _QuietHighs(highspy.Highs):
    """HiGHS that prints no banner: its own constructor does when it sets up callbacks, before any option can be set."""

    def enableCallbacks(self) -> None:
        self.setOptionValue("output_flag", False)


@dataclass(frozen=True, slots=True)
class LpSolution:
    """What the linear programme says.

    Attributes
    ----------
    value : float
        Its objective, not rounded safely: bounds come from the duals.
    x : ndarray of float64, shape (groups of the programme,)
        Share of each group.
    duals : ndarray of float64, shape (columns,)
        Price of each column, of either sign.
    weights : ndarray of float64, shape (cuts,)
        Price of each cut, >= 0.
    """

    value: float
    x: Values
    duals: Values
    weights: Values


def coefficients(groups: Groups, triple: Triple, columns: int) -> NDArray[np.float64]:
    """Coefficient of each group in the cut of a triple: 1 when it holds two or three of the columns.

    Half the sum of the three partition equations, rounded down, says that such groups have at most one share between
    them: a subset-row inequality (Jepsen et al. 2008), for M = 2 a blossom inequality.
    """
    inside = np.zeros(columns, np.int8)
    inside[list(triple)] = 1
    held: NDArray[np.float64] = (inside[groups].sum(axis=1) // 2).astype(np.float64)
    return held


class PartitionLp:
    """``max sum_S f(S) x_S``, every column in one group, cuts of triples, ``x >= 0``.

    An artificial group per column, worth ``-penalty``, keeps it feasible whatever groups are switched off; it only
    relaxes the programme. Groups and cuts can be added, groups switched off and on; HiGHS goes on from the last basis.

    Parameters
    ----------
    groups : ndarray of int64, shape (K, M)
        The groups.
    values : ndarray of float64, shape (K,)
        What each is worth; to be scaled so that the largest is about 1.
    columns : int
        Number of columns to partition.
    """

    def __init__(self, groups: Groups, values: Values, columns: int) -> None:
        self.columns = columns
        self.penalty = 2.0 * columns
        self.triples: list[Triple] = []
        self._groups = np.empty((0, groups.shape[1]), np.int64)
        self._active = np.empty(0, np.bool_)
        self._highs = _QuietHighs()
        settings: dict[str, bool | float | str] = {
            "threads": 1,
            "solver": "simplex",
            "presolve": "off",
            "primal_feasibility_tolerance": _TOLERANCE,
            "dual_feasibility_tolerance": _TOLERANCE,
        }
        for name, setting in settings.items():
            self._highs.setOptionValue(name, setting)
        self._highs.changeObjectiveSense(highspy.ObjSense.kMaximize)
        none = np.empty(0, np.int32)
        for _ in range(columns):
            self._highs.addRow(1.0, 1.0, 0, none, np.empty(0))
        every = np.arange(columns)
        self._append(np.full(columns, -self.penalty), every, every)
        self.add(groups, values)

    def _append(self, values: Values, owner: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Columns of the programme, with coefficient 1 in these rows."""
        order = np.argsort(owner, kind="stable")
        starts = np.searchsorted(owner[order], np.arange(values.shape[0]))
        self._highs.addCols(
            values.shape[0],
            values,
            np.zeros(values.shape[0]),
            np.full(values.shape[0], highspy.kHighsInf),
            rows.size,
            starts.astype(np.int32),
            rows[order].astype(np.int32),
            np.ones(rows.size),
        )

    def add(self, groups: Groups, values: Values) -> None:
        """Append groups; those of before keep their numbers."""
        count, width = groups.shape
        if not count:
            return
        owner, rows = [np.repeat(np.arange(count), width)], [groups.ravel()]
        for number, triple in enumerate(self.triples):
            holding = np.flatnonzero(coefficients(groups, triple, self.columns))
            owner.append(holding)
            rows.append(np.full(holding.size, self.columns + number))
        self._append(values, np.concatenate(owner), np.concatenate(rows))
        self._groups = np.concatenate([self._groups, groups])
        self._active = np.concatenate([self._active, np.ones(count, np.bool_)])

    def cut(self, triples: Sequence[Triple]) -> None:
        """Append the cuts of these triples."""
        for triple in triples:
            held = coefficients(self._groups, triple, self.columns)
            where = np.flatnonzero(held)
            self._highs.addRow(
                -highspy.kHighsInf, 1.0, where.shape[0], (where + self.columns).astype(np.int32), held[where]
            )
            self.triples.append(triple)

    def restrict(self, active: NDArray[np.bool_]) -> None:
        """Switch off all groups but the active ones."""
        changed = np.flatnonzero(active != self._active)
        if changed.shape[0]:
            self._highs.changeColsBounds(
                changed.shape[0],
                (changed + self.columns).astype(np.int32),
                np.zeros(changed.shape[0]),
                np.where(active[changed], highspy.kHighsInf, 0.0),
            )
            self._active = active.copy()

    def _run(self, iterations: int, seconds: float) -> None:
        self._highs.setOptionValue("simplex_iteration_limit", iterations)
        self._highs.setOptionValue("time_limit", self._highs.getRunTime() + max(seconds, 1e-3))
        self._highs.run()

    def glance(self, iterations: int) -> float:
        """Objective after at most so many simplex iterations: an estimate, for choosing a branch."""
        self._run(iterations, _GLANCE_SECONDS)
        return float(self._highs.getInfo().objective_function_value)

    def solve(self, seconds: float = np.inf) -> LpSolution | None:
        """Solve to optimality; None when HiGHS stopped before (time, or numerical trouble)."""
        self._run(_MOST_ITERATIONS, min(seconds, _STUCK))
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal and seconds > _STUCK:
            self._highs.clearSolver()  # on rare occasions it cycles from a given basis: begin anew
            self._run(_MOST_ITERATIONS, seconds)
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        solution = self._highs.getSolution()
        prices = np.array(solution.row_dual)
        return LpSolution(
            float(self._highs.getInfo().objective_function_value),
            np.array(solution.col_value)[self.columns :],
            prices[: self.columns],
            np.maximum(prices[self.columns :], 0.0),
        )
