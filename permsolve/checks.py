"""What counts as a number in arguments: Python's and numpy's, booleans excluded."""

from numbers import Integral, Real
from typing import Any

import numpy as np


def is_number(value: Any) -> bool:
    """Whether ``value`` is a real number (NaN is, too)."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def is_whole(value: Any) -> bool:
    """Whether ``value`` is an integer."""
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
