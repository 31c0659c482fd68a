"""The direct model of the problem: columns to groups, entries to keep."""

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from permsolve.permutation import to_groups
from permsolve.problem import Problem
from permsolve_solvers.sat.integers import Integers
from permsolve_solvers.sat.model import Model


def assignment_model(problem: Problem, permutation: NDArray[np.int64]) -> Model:
    """Columns to groups, and which entries of each row are kept: any pattern, tiny problems.

    Groups of equal size are interchangeable: column j may only be in one of the first j + 1 of them, and in a later one
    only when an earlier column is in the one before it.
    """
    columns, count, m, n = problem.columns, problem.group_count, problem.pattern.m, problem.pattern.n
    alike = count - (problem.padding > 0)
    model = cp_model.CpModel()
    member = [[model.new_bool_var("") for _ in range(count)] for _ in range(columns)]
    for j in range(columns):
        model.add_exactly_one(member[j])
        for g in range(1, alike):
            model.add_bool_or([member[j][g].negated(), *(member[i][g - 1] for i in range(j))])
    for g in range(count):
        size = m if g < alike else m - problem.padding
        model.add(cp_model.LinearExpr.sum([member[j][g] for j in range(columns)]) == size)
    saliency = problem.saliency.astype(np.float64)
    kept_entries = problem.rows * problem.pattern.kept_per_row(columns)
    integers = Integers.for_total(problem.row_bound, kept_entries, 50)
    weights = integers.of(saliency)
    terms: list[cp_model.IntVar] = []
    worth: list[int] = []
    for r in range(problem.rows):
        for g in range(count):
            kept = [model.new_bool_var("") for _ in range(columns)]
            for j in range(columns):
                model.add_implication(kept[j], member[j][g])
            model.add(cp_model.LinearExpr.sum(kept) <= n)
            terms += kept
            worth += weights[r].tolist()
    model.maximize(cp_model.LinearExpr.weighted_sum(terms, worth))
    for g, group in enumerate(_in_order(permutation, problem)):
        for j in range(columns):
            model.add_hint(member[j][g], j in group)
    flat = [literal for row in member for literal in row]
    return Model(model, flat, None, integers, 0.0, integers.error(kept_entries))


def _in_order(permutation: NDArray[np.int64], problem: Problem) -> list[set[int]]:
    """Groups by their first column, the short one last: the order that the symmetry breaking asks for."""
    return [set(group.tolist()) for group in to_groups(permutation, problem.pattern)]
