"""What counts as a number in arguments: Python's and numpy's, booleans excluded; checks of options and arguments."""

import math
import reprlib
from numbers import Integral, Real
from typing import Any

import numpy as np

from permsolve.errors import InvalidOptionError


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
