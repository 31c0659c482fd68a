"""Models for CP-SAT, and the set partition over a list of groups."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from permsolve.problem import Problem
from permsolve_solvers.sat.integers import Integers

Groups = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Model:
    """A model, its literals, how to read a solution, and how its objective relates to what is kept.

    Attributes
    ----------
    proto : CpModel
        The model, which maximises.
    literals : list
        The Boolean variables that say which group is used, or which column is in which group.
    groups : ndarray of int64 or None
        The groups of the literals; None when literal ``j * group_count + g`` puts column j into group g.
    integers : Integers
        The integer view of the objective.
    offset : float
        What is kept is the objective plus this, up to rounding.
    error : float
        At most this much is lost by rounding.
    """

    proto: cp_model.CpModel
    literals: list[cp_model.IntVar]
    groups: Groups | None
    integers: Integers
    offset: float
    error: float

    def bound(self, objective: float) -> float:
        """What a bound on the objective says of what is kept, rounding included."""
        return self.integers.real(objective) + self.offset + self.error

    def chosen(self, values: NDArray[np.bool_], problem: Problem) -> Groups:
        """Group matrix of a solution, values of the literals."""
        if self.groups is not None:
            return self.groups[values]
        member = values.reshape(problem.columns, problem.group_count)
        padding = iter(range(problem.columns, problem.columns + problem.padding))
        rows = [np.flatnonzero(member[:, g]).tolist() for g in range(problem.group_count)]
        m = problem.pattern.m
        return np.array([row + [next(padding) for _ in range(m - len(row))] for row in rows], np.int64)


def partition_model(groups: Groups, reduced: Values, offset: float, used: NDArray[np.bool_], width: int) -> Model:
    """Set partition: one literal per group, each column in exactly one; groups are alike, so there is no symmetry.

    Parameters
    ----------
    groups : ndarray of int64, shape (K, M)
        The groups that can be in an optimal partition.
    reduced : ndarray of float64, shape (K,)
        Their reduced costs: what makes their differences small enough for a fine integer objective.
    offset : float
        Sum of the prices.
    used : ndarray of bool, shape (K,)
        The groups of the best partition known: the hint.
    width : int
        Number of columns.
    """
    count = width // groups.shape[1]
    integers = Integers.for_total(count * max(float(np.abs(reduced).max(initial=0.0)), 1e-6), count, 48)
    model = cp_model.CpModel()
    literals = [model.new_bool_var("") for _ in range(groups.shape[0])]
    order = np.argsort(groups.ravel(), kind="stable")
    for numbers in np.split(order // groups.shape[1], np.cumsum(np.bincount(groups.ravel(), minlength=width))[:-1]):
        model.add_exactly_one([literals[k] for k in numbers])
    model.maximize(cp_model.LinearExpr.weighted_sum(literals, integers.of(reduced).tolist()))
    for literal, hint in zip(literals, used.tolist(), strict=True):
        model.add_hint(literal, hint)
    return Model(model, literals, groups, integers, offset, integers.error(count))
