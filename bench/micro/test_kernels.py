"""Speed of the kernels: ``pytest bench/micro``. Each is compared with a naive version of itself first."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.micro.speed import exchange_inputs
from permsolve import Pattern, Problem
from permsolve.kernels.coarse import coarse
from permsolve.kernels.exchange import exchange
from permsolve.kernels.minima import sums_of_minima
from permsolve.kernels.scoring import group_values
from permsolve.permutation import to_groups

SHAPES = ((128, 64), (512, 256))
PATTERNS = ("2:4", "1:2", "4:8")
# Groups and columns of which the naive version is computed.
SAMPLE = 4

shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
patterns = pytest.mark.parametrize("pattern", PATTERNS)


def _problem(shape: tuple[int, int], pattern: str) -> Problem:
    return Problem(np.random.default_rng(0).random(shape, dtype=np.float32), pattern)


def _kept(matrix: NDArray[Any], n: int) -> float:
    """What N:M keeps of one group, a row at a time."""
    return float(sum(sum(sorted(row, reverse=True)[:n]) for row in matrix.astype(float).tolist()))


@shapes
@patterns
def test_group_values(benchmark: Callable[..., Any], shape: tuple[int, int], pattern: str) -> None:
    """The scorer, in float64."""
    problem = _problem(shape, pattern)
    groups = to_groups(np.arange(problem.columns), problem.pattern)
    out = np.empty(len(groups))
    benchmark(group_values, problem.padded, groups, problem.pattern.n, out)
    naive = [_kept(problem.saliency[:, group], problem.pattern.n) for group in groups[:SAMPLE]]
    np.testing.assert_allclose(out[:SAMPLE], naive, rtol=1e-12)


@shapes
@patterns
def test_exchange(benchmark: Callable[..., Any], shape: tuple[int, int], pattern: str) -> None:
    """The whole exchange matrix, in float32."""
    problem = _problem(shape, pattern)
    arguments, out = exchange_inputs(problem)
    benchmark(exchange, *arguments)
    parsed: Pattern = problem.pattern
    groups = arguments[1]
    for position, member in enumerate(groups[0]):
        for column in groups[1 : 1 + SAMPLE].ravel():
            changed = groups[0].copy()
            changed[position] = column
            gain = _kept(problem.saliency[:, changed], parsed.n) - _kept(problem.saliency[:, groups[0]], parsed.n)
            assert out[member, column] == pytest.approx(gain, abs=2e-6 * problem.rows)


@shapes
@patterns
def test_exchange_of_bytes(benchmark: Callable[..., Any], shape: tuple[int, int], pattern: str) -> None:
    """The whole exchange matrix of the coarse saliency; what cancels in exchanges is left out of its entries."""
    problem = _problem(shape, pattern)
    levels, _ = coarse(problem.working, problem.columns, problem.pattern)
    arguments, out = exchange_inputs(problem, levels)
    benchmark(exchange, *arguments)
    n, groups = problem.pattern.n, arguments[1]
    totals = levels.sum(axis=1, dtype=np.int64)
    for position, member in enumerate(groups[0]):
        for column in groups[1 : 1 + SAMPLE].ravel():
            changed = groups[0].copy()
            changed[position] = column
            gain = _kept(levels[changed].T, n) - _kept(levels[groups[0]].T, n)
            assert out[member, column] == gain - (totals[column] - totals[member]) / 2


@shapes
def test_sums_of_minima(benchmark: Callable[..., Any], shape: tuple[int, int]) -> None:
    """Sums of minima of all pairs of columns."""
    problem = _problem(shape, "2:4")
    out = np.empty((problem.columns, problem.columns))
    benchmark(sums_of_minima, problem.working, 0, problem.columns, out)
    for i in range(SAMPLE):
        own, *others = (problem.saliency[:, j].tolist() for j in range(i, 2 * SAMPLE))
        naive = [sum(map(min, own, other)) for other in others]
        np.testing.assert_allclose(out[i, i + 1 : 2 * SAMPLE], naive, rtol=1e-5)
