"""N:M masks of a weight under a permutation of its columns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.arithmetic import own_arithmetic
from permsolve.errors import InvalidProblemError
from permsolve.moments import InputMoments
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from permsolve.saliency import AnySaliency
from permsolve.weights import BLOCK_ELEMENTS, as_array, as_weight, row_blocks


@own_arithmetic
def nm_mask(
    weight: NDArray[Any],
    permutation: NDArray[np.int64],
    pattern: Pattern,
    saliency: AnySaliency = "magnitude",
    inputs: InputMoments | None = None,
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
    saliency : str, callable or Saliency, default "magnitude"
        What to keep the largest of.
    inputs : InputMoments, optional
        What the layer reads, for a calibrated saliency.

    Returns
    -------
    ndarray of bool, shape of ``weight``
        In the original column order; of equal entries those first in the permutation are kept.
    """
    _check_width(weight, permutation)
    problem = Problem.from_weight(weight, pattern, saliency, inputs)
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


@own_arithmetic
def nm_violations(weight: NDArray[Any], pattern: Pattern) -> NDArray[np.int64]:
    """Rows of a weight that do not follow a pattern as they stand.

    Parameters
    ----------
    weight : ndarray, shape (out, columns) or (out, columns, k...)
        The weight, read as a matrix of out * k... rows.
    pattern : Pattern
        At most N of every M consecutive entries of a row may differ from zero (in a short last group too).

    Returns
    -------
    ndarray of int64
        Numbers of the rows that break it, ascending.
    """
    width = pattern.group_count(weight.shape[1]) * pattern.m
    found = []
    start = 0
    for block in row_blocks(weight):
        nonzero = np.zeros((block.shape[0], width), np.bool_)
        nonzero[:, : block.shape[1]] = block != 0
        counts = nonzero.reshape(block.shape[0], -1, pattern.m).sum(axis=2)
        found.append(np.flatnonzero((counts > pattern.n).any(axis=1)) + start)
        start += block.shape[0]
    return np.concatenate(found)


@own_arithmetic
def reorder(
    weight: Any,
    permutation: NDArray[np.int64],
    pattern: Pattern | None = None,
    saliency: AnySaliency = "magnitude",
    inputs: InputMoments | None = None,
) -> NDArray[Any]:
    """Re-order the columns (axis 1) of a weight; with a pattern, zero what it drops.

    Parameters
    ----------
    weight : ndarray, shape (out, columns) or (out, columns, k...)
        The weight.
    permutation : ndarray of int64, shape (columns,)
        Order of the columns.
    pattern : Pattern, optional
        What to prune to.
    saliency : str, callable or Saliency, default "magnitude"
        What to keep the largest of, with a pattern.
    inputs : InputMoments, optional
        What the layer reads, before it is re-ordered, for a calibrated saliency.

    Returns
    -------
    ndarray
        A new weight of the same dtype.

    Raises
    ------
    InvalidProblemError
        When it is no weight, has another number of columns, or must be pruned and is not finite or does not fit the
        moments.
    """
    array = as_array(weight)
    _check_width(array, permutation)
    if pattern is not None:
        mask = nm_mask(as_weight(array), permutation, pattern, saliency, inputs)
        array = np.where(mask, array, array.dtype.type(0))
    return np.take(array, permutation, axis=1)


def _check_width(weight: NDArray[Any], permutation: NDArray[np.int64]) -> None:
    if weight.ndim < 2 or weight.shape[1] != permutation.shape[0]:
        raise InvalidProblemError(
            f"the permutation orders {permutation.shape[0]} columns: axis 1 of shape {weight.shape} must have as many"
        )


@own_arithmetic
def kept_value(
    weight: Any,
    pattern: Pattern | str,
    saliency: AnySaliency = "magnitude",
    inputs: InputMoments | None = None,
) -> float:
    """Saliency that a pattern keeps of a weight as it stands.

    Parameters
    ----------
    weight : array_like or torch.Tensor, shape (out, columns) or (out, columns, k...)
        The weight.
    pattern : Pattern or str
        The pattern.
    saliency : str, callable or Saliency, default "magnitude"
        What each weight is worth.
    inputs : InputMoments, optional
        What the layer reads, for a calibrated saliency.

    Raises
    ------
    InvalidProblemError
        When it is no weight, or not finite.
    """
    return Problem.from_weight(weight, pattern, saliency, inputs).baseline
