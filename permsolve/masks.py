"""N:M masks of a weight under a permutation of its columns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import InvalidProblemError
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from permsolve.saliency import SaliencyFunction
from permsolve.weights import BLOCK_ELEMENTS


def nm_mask(
    weight: NDArray[Any],
    permutation: NDArray[np.int64],
    pattern: Pattern,
    saliency: str | SaliencyFunction = "magnitude",
) -> NDArray[np.bool_]:
    """Mask of the N largest of every M entries that the permutation brings together.

    Parameters
    ----------
    weight : ndarray, shape (out, columns) or (out, columns, k...)
        The weight.
    permutation : ndarray of int64, shape (columns,)
        Order of the columns.
    pattern : Pattern
        The pattern.
    saliency : str or callable, default "magnitude"
        What to keep the largest of.

    Returns
    -------
    ndarray of bool, shape of ``weight``
        In the original column order; of equal entries those first in the permutation are kept.
    """
    if weight.shape[1] != permutation.shape[0]:
        raise InvalidProblemError(f"a permutation of {permutation.shape[0]} columns does not fit a weight {weight.shape}")
    problem = Problem.from_weight(weight, pattern, saliency)
    rows, columns = problem.rows, problem.columns
    width = problem.group_count * pattern.m
    padding = width - columns
    mask = np.zeros((rows, columns), np.bool_)
    step = max(1, BLOCK_ELEMENTS // width)
    for start in range(0, rows, step):
        block = problem.saliency[start : start + step][:, permutation]
        # Padding is worth less than any saliency, so a short group keeps N of what it has.
        padded = np.pad(block, ((0, 0), (0, padding)), constant_values=-1.0)
        grouped = padded.reshape(block.shape[0], -1, pattern.m)
        order = np.argsort(-grouped, axis=2, kind="stable")[:, :, : pattern.n]
        keep = np.zeros(grouped.shape, np.bool_)
        np.put_along_axis(keep, order, True, axis=2)
        mask[start : start + step, permutation] = keep.reshape(block.shape[0], width)[:, :columns]
    unfolded = (weight.shape[0], *weight.shape[2:], columns)
    return np.ascontiguousarray(np.moveaxis(mask.reshape(unfolded), -1, 1))
