"""How soon the search reaches what neither a swap nor an assignment improves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.gpu.weights import heavy_tailed
from permsolve import Problem, solve
from permsolve.kernels.device.exchange import DeviceExchange
from permsolve.observers import Incumbent
from permsolve.permutation import to_groups

# Gains below this share of what a group keeps are rounding of float32.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class SearchRow:
    """One search.

    Attributes
    ----------
    columns, rows : int
        Of the weight.
    seconds : float or None
        When the first permutation was found that no swap improves, assignment moves having come before; None when
        none was.
    efficacy_then, efficacy : float or None, float
        Of that permutation and of the last one, in percent.
    limit : float
        Seconds that the search had.
    """

    columns: int
    rows: int
    seconds: float | None
    efficacy_then: float | None
    efficacy: float
    limit: float


def is_local_optimum(problem: Problem, matrix: DeviceExchange, permutation: NDArray[np.int64]) -> bool:
    """Whether no swap gains more than rounding; ``matrix`` holds the problem's exchange matrix."""
    groups = to_groups(permutation, problem.pattern)
    where = np.empty(groups.size, np.int64)
    where[groups.ravel()] = np.repeat(np.arange(len(groups)), problem.pattern.m)
    matrix.refresh(groups, np.arange(len(groups)))
    gains, _ = matrix.best_partners(where, problem.columns)
    return bool(gains.max() <= ROUNDING * problem.row_bound / len(groups))


def measure_search(columns: int, rows: int, limit: float, *, seed: int = 0, workers: int | None = None) -> SearchRow:
    """Search a heavy-tailed weight on the GPU, and look afterwards which incumbent was the first local optimum."""
    problem = Problem(heavy_tailed(rows, columns, seed), "2:4")
    found: list[Incumbent] = []
    result = solve(
        problem,
        "local-search",
        device="cuda",
        time_limit=limit,
        seed=seed,
        workers=workers,
        observer=found.append,
    )
    matrix = DeviceExchange(problem.working, problem.pattern.n)
    matrix.hold()
    first = next((one for one in found if is_local_optimum(problem, matrix, one.permutation)), None)

    def efficacy(value: float) -> float:
        return 100.0 * (value - problem.baseline) / (problem.row_bound - problem.baseline)

    return SearchRow(
        columns,
        rows,
        None if first is None else first.time,
        None if first is None else efficacy(first.value),
        efficacy(result.value),
        limit,
    )
