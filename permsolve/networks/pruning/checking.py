"""Whether a weight follows a pattern."""

from typing import Any

from permsolve.masks import nm_violations
from permsolve.networks.layers import PLAIN, Layout
from permsolve.pattern import Pattern
from permsolve.weights import as_weight


def is_nm(weight: Any, pattern: str | Pattern = "2:4", *, layout: Layout = PLAIN) -> bool:
    """Whether at most N of every M consecutive input channels of a weight differ from zero, in each row.

    Parameters
    ----------
    weight : Tensor or array_like, shape (out, in) or (out, in, k...)
        The weight.
    pattern : Pattern or str, default "2:4"
        The pattern.
    layout : Layout, optional
        Which axis is which, where the weight is a tensor that is stored otherwise: ``Layout(out=1, input=0)`` for the
        (in, out) of GPT-2.

    Raises
    ------
    InvalidProblemError
        When it is no weight: not real, empty, or of fewer than 2 or more than 5 dimensions.
    InvalidPatternError
        When the pattern is impossible.
    """
    matrix = weight if layout.plain else layout.matrix(weight)
    return nm_violations(as_weight(matrix), Pattern.parse(pattern)).size == 0
