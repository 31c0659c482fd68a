"""Checks shared by the criteria."""

import math

from permsolve.checks import is_number, is_whole
from permsolve.errors import InvalidOptionError


def nonnegative(name: str, value: float, *, integer: bool = False) -> None:
    """Refuse anything but a finite number >= 0 (a whole one when ``integer``)."""
    right_kind = is_whole(value) if integer else is_number(value)
    if not right_kind or not math.isfinite(value) or value < 0:
        kind = "a whole number" if integer else "a number"
        raise InvalidOptionError(f"{name} must be {kind} >= 0, got {value!r}")
