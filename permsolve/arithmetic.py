"""Floating-point arithmetic that does not depend on what the host program has numpy do about it."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def own_arithmetic(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Let a function compute without numpy's remarks, whatever the host has set; its settings are back afterwards.

    Under ``numpy.seterr(all="raise")``, or where warnings are errors, what underflows on the way would be an error.
    What comes of an overflow is looked at where it matters, and refused by name.

    Parameters
    ----------
    function : callable
        A public function. A generator is not meant: what it does comes later.
    """

    @wraps(function)
    def computed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return computed
