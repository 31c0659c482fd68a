"""Small saliency matrices of several kinds."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.pattern import Pattern
from permsolve.problem import Problem

# Wide enough to cover both fast paths (M = 2, 2:4), N = 1, N = M - 1, odd M and the largest M.
PATTERNS = ("1:2", "1:4", "2:4", "4:8", "3:5", "2:8", "7:8", "16:32")
KINDS = ("uniform", "ties", "sparse", "heavy", "duplicates")


def matrix(kind: str, rows: int, columns: int, rng: np.random.Generator) -> NDArray[Any]:
    """A float64 matrix that float32 holds exactly (so that both types can be held to the same answer)."""
    if kind == "uniform":
        made = rng.random((rows, columns))
    elif kind == "ties":
        made = rng.integers(0, 3, (rows, columns)).astype(np.float64)
    elif kind == "sparse":
        made = rng.random((rows, columns)) * (rng.random((rows, columns)) < 0.4)
    elif kind == "heavy":
        made = np.exp(3.0 * rng.standard_normal((rows, columns)))
    elif kind == "duplicates":
        made = rng.random((rows, columns))[:, rng.integers(0, max(1, columns // 2), columns)]
    else:
        raise ValueError(f"unknown kind of matrix {kind!r}")
    return made.astype(np.float32).astype(np.float64)


def tiny_problems(count: int, patterns: tuple[str, ...], seed: int) -> list[Problem]:
    """``count`` problems of at most 12 columns and 9 rows, all kinds and patterns by turns."""
    rng = np.random.default_rng(seed)
    problems = []
    for number in range(count):
        pattern = Pattern.parse(patterns[number % len(patterns)])
        columns = int(rng.integers(1, 13 if pattern.m < 8 else 12))
        rows = int(rng.integers(1, 10))
        problems.append(Problem(matrix(KINDS[number % len(KINDS)], rows, columns, rng), pattern))
    return problems
