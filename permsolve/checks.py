"""What counts as a number in arguments: Python's and numpy's, booleans excluded; checks of options and arguments."""

import math
import reprlib
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import InvalidOptionError, InvalidProblemError


def is_number(value: Any) -> bool:
    """Whether ``value`` is a real number (NaN is, too)."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def is_whole(value: Any) -> bool:
    """Whether ``value`` is an integer."""
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)


def require_whole(owner: str, name: str, value: Any, least: int) -> None:
    """Refuse an option of ``owner`` that is no whole number from ``least`` on.

    Raises
    ------
    InvalidOptionError
        Naming option and value.
    """
    if not is_whole(value) or value < least:
        raise InvalidOptionError(f"{owner}: {name} must be a whole number >= {least}, got {value!r}")


def require_positive(owner: str, name: str, value: Any) -> None:
    """Refuse an option of ``owner`` that is no finite number > 0.

    Raises
    ------
    InvalidOptionError
        Naming option and value.
    """
    if not is_number(value) or not 0 < value < math.inf:
        raise InvalidOptionError(f"{owner}: {name} must be a number > 0, got {value!r}")


def require(good: bool, name: str, what: str, value: Any) -> None:
    """Refuse an argument that is not ``what`` it must be.

    Raises
    ------
    InvalidOptionError
        Naming argument and value.
    """
    if not good:
        raise InvalidOptionError(f"{name} must be {what}, got {' '.join(reprlib.repr(value).split())}")


def refuse_odd_array(what: str, value: Any) -> None:
    """Refuse what numpy would silently take for something else: masked arrays, whose mask it drops, and sparse ones.

    Raises
    ------
    InvalidProblemError
        Naming the kind, and how to make a plain array of it.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise InvalidProblemError(f"{what} must be a plain array, got a masked one: give .filled(0), or another value")
    if not isinstance(value, np.ndarray) and hasattr(value, "nnz"):  # of scipy, of cupy, of sparse
        dense = "toarray" if hasattr(value, "toarray") else "todense"
        raise InvalidProblemError(
            f"{what} must be a plain array, got a sparse one ({type(value).__name__}): give .{dense}()"
        )


def kind_of(dtype: np.dtype[Any]) -> str:
    """A type that is no number's, in words."""
    if dtype.names is not None:
        return f"a structured dtype with the fields {', '.join(dtype.names)}: give one of them"
    words = {"O": " (Python objects): give .astype(float)", "M": " (dates)", "m": " (times)"}
    return f"dtype {dtype}{words.get(dtype.kind, '')}"


def real_array(what: str, value: Any) -> NDArray[Any]:
    """An array of real numbers, truth values included, without copying where possible.

    Raises
    ------
    InvalidProblemError
        When it holds something else, or is no plain array.
    """
    refuse_odd_array(what, value)
    try:
        array: NDArray[Any] = np.asarray(value)
        plain = array.dtype.kind in "biuf" or (array.dtype.kind == "V" and "float" in array.dtype.name)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InvalidProblemError(f"{what} must be an array of numbers: {' '.join(str(error).split())}") from error
    if not plain:
        raise InvalidProblemError(f"{what} must hold real numbers, got {kind_of(array.dtype)}")
    return array
