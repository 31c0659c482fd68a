"""The one judge of every row: what a permutation keeps, from the weight itself, in plain numpy.

It shares no code with the library whose solvers it judges, so that a mistake there cannot hide here.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from permsolve.errors import PermsolveError

# Two float64 sums of the same numbers in different orders agree to this share.
TOLERANCE = 1e-9
_BLOCK = 1 << 22


class WrongValueError(PermsolveError):
    """A solver's result is not what it says: its value, its permutation or its bound."""


def kept_magnitude(weight: NDArray[Any], permutation: ArrayLike, n: int, m: int) -> float:
    """Sum of the magnitudes that N:M keeps of ``weight[:, permutation]``.

    Parameters
    ----------
    weight : ndarray, shape (out, columns) or (out, columns, k...)
        The weight, of any real type.
    permutation : array_like of int, shape (columns,)
        The order of its columns.
    n, m : int
        The pattern.

    Raises
    ------
    WrongValueError
        When the permutation does not name every column once.
    """
    order = np.asarray(permutation)
    columns = weight.shape[1]
    if order.shape != (columns,) or not np.array_equal(np.sort(order), np.arange(columns)):
        raise WrongValueError(f"the permutation does not name each of the {columns} columns once")
    groups = -(-columns // m)
    step = max(1, _BLOCK * weight.shape[0] // weight.size)
    total = 0.0
    for start in range(0, weight.shape[0], step):
        rows = np.moveaxis(weight[start : start + step], 1, -1).reshape(-1, columns)
        padded = np.zeros((rows.shape[0], groups * m))
        padded[:, :columns] = np.abs(rows[:, order].astype(np.float64))
        in_groups = np.sort(padded.reshape(-1, groups, m), axis=2)
        total += float(in_groups[:, :, m - n :].sum())
    return total


def check_value(said: float, found: float) -> None:
    """Refuse a value that another way of computing it does not confirm.

    Raises
    ------
    WrongValueError
        When they differ by more than rounding.
    """
    if abs(said - found) > TOLERANCE * max(abs(said), abs(found)):
        raise WrongValueError(f"the permutation keeps {found!r}, the result says {said!r}")


def check_optimum(value: float, bound: float, optimum: float) -> None:
    """Refuse a result that is at odds with an optimum that is known from how the instance was made.

    Raises
    ------
    WrongValueError
        When the value is above it, or the bound below it.
    """
    if value > optimum * (1.0 + TOLERANCE):
        raise WrongValueError(f"the value {value!r} is above the known optimum {optimum!r}")
    if bound < optimum * (1.0 - TOLERANCE):
        raise WrongValueError(f"the bound {bound!r} is below the known optimum {optimum!r}")
