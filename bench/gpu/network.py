"""All axes of a network of the shape of LLaMA-2-7B, with random heavy-tailed weights."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gpu.search import heavy_tailed
from permsolve import Problem, solve


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
    shape: Shape, *, device: str = "cuda", head_seconds: float = 0.05, axis_seconds: float = 4.0, residual: float = 60.0
) -> Iterator[AxisRow]:
    """Solve axis by axis, each with its own time limit.

    Parameters
    ----------
    shape : Shape
        Of the network.
    device : str
        Where MLPs and residual stream are searched; heads are small, and annealed by the processor.
    head_seconds, axis_seconds, residual : float
        Seconds for each head, for each MLP, and for the residual stream.
    """
    wide = shape.width // shape.heads
    outputs = (heavy_tailed(shape.width, wide, seed) for seed in range(shape.layers * shape.heads))
    yield _measured("values of a head", outputs, "annealing", head_seconds, {})
    downs = (heavy_tailed(shape.width, shape.inner, seed) for seed in range(shape.layers))
    yield _measured("inner channels of an MLP", downs, "assignment", axis_seconds, {"device": device})
    rows = shape.layers * (3 * shape.width + 2 * shape.inner)
    stream = np.empty((rows, shape.width), np.float32)
    step = -(-rows // shape.layers)
    for layer in range(shape.layers):
        part = stream[layer * step : (layer + 1) * step]
        part[:] = heavy_tailed(part.shape[0], part.shape[1], layer)
    yield _measured("residual stream", iter([stream]), "assignment", residual, {"device": device})


def _measured(
    kind: str, weights: Iterator[NDArray[np.float32]], solver: str, limit: float, options: dict[str, Any]
) -> AxisRow:
    seconds, before, after, count = 0.0, 0.0, 0.0, 0
    size = (0, 0)
    for weight in weights:
        begun = time.perf_counter()
        problem = Problem(weight, "2:4")
        result = solve(problem, solver, time_limit=limit, **options)
        seconds += time.perf_counter() - begun
        total = float(weight.sum(dtype=np.float64))
        before += result.baseline / total
        after += result.value / total
        count += 1
        size = weight.shape
    return AxisRow(kind, count, size[1], size[0], seconds, before / count, after / count)
