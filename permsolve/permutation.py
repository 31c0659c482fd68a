"""Permutations and the groups they stand for.

The order of the columns inside a group and the order of the groups do not change what is kept, so a
permutation is really a partition of the columns. Solvers work on a *group matrix*: one row of M
column numbers per group. When the number of columns is not a multiple of M, the last group is filled
with the padding columns ``columns, columns + 1, ...``, which hold zeros and never leave it.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from permsolve.errors import InvalidSolutionError
from permsolve.pattern import Pattern


def check_permutation(permutation: ArrayLike, columns: int) -> NDArray[np.int64]:
    """Return ``permutation`` as an int64 array, or say what is wrong with it.

    Parameters
    ----------
    permutation : array_like of int, shape (columns,)
        Each of ``0 .. columns - 1`` exactly once.
    columns : int
        Number of columns that it must order.

    Raises
    ------
    InvalidSolutionError
        When it is not a permutation of ``0 .. columns - 1``.
    """
    if isinstance(permutation, np.ma.MaskedArray):
        raise InvalidSolutionError("a permutation is a plain array of integers, got a masked one")
    try:
        array: NDArray[Any] = np.asarray(permutation)
    except (ValueError, TypeError) as error:
        raise InvalidSolutionError(f"a permutation is a one-dimensional array of integers: {error}") from error
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise InvalidSolutionError(
            f"a permutation is a one-dimensional array of integers, got {array.ndim} dimensions of {array.dtype}"
        )
    if array.shape[0] != columns:
        raise InvalidSolutionError(f"the permutation orders {array.shape[0]} columns, the matrix has {columns}")
    if columns and (array.min() < 0 or array.max() >= columns):
        bad = array[(array < 0) | (array >= columns)][0]
        raise InvalidSolutionError(f"the permutation names column {bad}: columns run from 0 to {columns - 1}")
    counts = np.bincount(array.astype(np.int64), minlength=columns)
    if (counts != 1).any():
        raise InvalidSolutionError(
            f"the permutation names column {int(np.argmax(counts != 1))} "
            f"{counts[np.argmax(counts != 1)]} times instead of once"
        )
    return array.astype(np.int64)


def to_groups(permutation: NDArray[np.int64], pattern: Pattern) -> NDArray[np.int64]:
    """Group matrix, shape (groups, M), of a permutation; a short last group is filled with padding columns."""
    columns = permutation.shape[0]
    groups = pattern.group_count(columns)
    padded = np.arange(groups * pattern.m, dtype=np.int64)
    padded[:columns] = permutation
    return padded.reshape(groups, pattern.m)


def from_groups(groups: NDArray[np.integer[Any]], columns: int) -> NDArray[np.int64]:
    """Canonical permutation of a group matrix: columns ascending in a group, groups by their first column.

    The group that holds padding columns comes last, without them.
    """
    ordered = np.sort(np.asarray(groups, dtype=np.int64), axis=1)
    short = ordered[:, -1] >= columns
    order = np.lexsort((ordered[:, 0], short))
    flat = ordered[order].ravel()
    return flat[flat < columns]


def canonical(permutation: NDArray[np.int64], pattern: Pattern) -> NDArray[np.int64]:
    """The one permutation that stands for all with the same groups (see :func:`from_groups`)."""
    return from_groups(to_groups(permutation, pattern), permutation.shape[0])
