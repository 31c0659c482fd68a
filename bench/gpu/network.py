"""All axes of a network of the shape of LLaMA-2-7B, with random heavy-tailed weights."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gpu.weights import heavy_tailed
from permsolve import Problem, solve
from permsolve.cores import available_cores

# Weights that are made before the clock starts, for each axis that is solved at once.
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a decoder.

    Attributes
    ----------
    layers, width, inner, heads : int
        Number of layers, of the residual stream's channels, of the MLP's, of heads.
    """

    layers: int = 32
    width: int = 4096
    inner: int = 11008
    heads: int = 32


@dataclass(frozen=True, slots=True)
class AxisRow:
    """What the axes of one kind took.

    Attributes
    ----------
    kind : str
        Inside a head, of an MLP, or the residual stream.
    axes, columns, rows : int
        Their number, and size of the problem of each.
    seconds : float
        For all of them, without making the weights.
    kept_before, kept_after : float
        Mean share of the magnitude that 2:4 keeps.
    """

    kind: str
    axes: int
    columns: int
    rows: int
    seconds: float
    kept_before: float
    kept_after: float


def measure_network(
    shape: Shape, *, device: str = "cuda", head_seconds: float = 0.2, axis_seconds: float = 2.0, residual: float = 30.0
) -> Iterator[AxisRow]:
    """Solve axis by axis, each with its own time limit; heads, which are small, side by side on the cores.

    Parameters
    ----------
    shape : Shape
        Of the network.
    device : str
        Where MLPs and residual stream are searched; heads are annealed by the processor.
    head_seconds, axis_seconds, residual : float
        Seconds for each head, for each MLP, and for the residual stream.
    """
    wide = shape.width // shape.heads
    count = shape.layers * shape.heads
    yield _measured(_Kind("values of a head", count, shape.width, wide, "annealing", head_seconds), available_cores())
    yield _measured(
        _Kind("inner channels of an MLP", shape.layers, shape.width, shape.inner, "assignment", axis_seconds, device)
    )
    rows = shape.layers * (3 * shape.width + 2 * shape.inner)
    yield _measured(_Kind("residual stream", 1, rows, shape.width, "assignment", residual, device))


@dataclass(frozen=True, slots=True)
class _Kind:
    """Axes of one kind, and how they are solved."""

    name: str
    count: int
    rows: int
    columns: int
    solver: str
    limit: float
    device: str | None = None


def _measured(kind: _Kind, at_once: int = 1) -> AxisRow:
    """Solve the axes of a kind, some at once, with one worker each then."""
    options: dict[str, Any] = {} if kind.device is None else {"device": kind.device}

    def solved(weight: NDArray[np.float32]) -> tuple[float, float]:
        problem = Problem(weight, "2:4")
        result = solve(problem, kind.solver, time_limit=kind.limit, workers=None if at_once == 1 else 1, **options)
        return result.baseline / problem.total, result.value / problem.total

    solve(Problem(heavy_tailed(64, 256, 0), "2:4"), kind.solver, time_limit=0.1, **options)  # compiles
    seconds = 0.0
    shares: list[tuple[float, float]] = []
    with ThreadPoolExecutor(at_once) as pool:
        for first in range(0, kind.count, AT_ONCE * at_once):
            seeds = range(first, min(first + AT_ONCE * at_once, kind.count))
            weights = [heavy_tailed(kind.rows, kind.columns, seed) for seed in seeds]
            begun = time.perf_counter()
            shares += pool.map(solved, weights)
            seconds += time.perf_counter() - begun
    before, after = np.mean(shares, axis=0)
    return AxisRow(kind.name, kind.count, kind.columns, kind.rows, seconds, float(before), float(after))
