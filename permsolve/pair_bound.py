"""A bound for matrices of any size: what a group keeps, relaxed to a sum over its pairs of columns.

In one row, let ``k(t)`` be how many entries of a group exceed t. The group keeps the integral of ``min(N, k(t))``
over t >= 0. That is at most N, at most k, and at most any quadratic ``q(k) = c + a k + b k (k - 1) / 2`` that is above
``min(N, k)`` at k = 0 .. M; with b < 0 the quadratic charges pairs of large entries for meeting. N below a threshold
``low``, q from there to ``high`` and k above add up to

    N low + c (high - low) + sum_j [a y_j + max(x_j - high, 0)] + b sum_{i < j} min(y_i, y_j),

``y = clip(x, low, high) - low``: constants, terms of columns, which a partition cannot change, and terms of pairs. Each
column shares its group with M - 1 others, so with any prices v of the columns and B the pair terms summed over rows,
the pairs of a partition are worth at most ``(M - 1) sum(v) + sum_i (sum of the M - 1 largest B_ij - v_i - v_j) / 2``.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from permsolve.certificate import Certificate, Layers, Node
from permsolve.cores import Threads
from permsolve.kernels.minima import BLOCK, sums_of_minima
from permsolve.memory import require_memory
from permsolve.pattern import Pattern
from permsolve.problem import Problem

# Steps of the price search, and after how many without a better bound it halves its step.
_STEPS = 150
_PATIENCE = 6
# Rows of the pair matrix that one task computes.
_SLICE = 16
# Rows of it that are mirrored, or looked at, at once.
_MIRRORED = 256
# Copies of the saliency in float64 that are made beside it, sorting included.
_COPIES = 6
_UNIT = 2.0**-24
_ROUNDING = 1e-11


def quadratic(pattern: Pattern) -> tuple[float, float, float]:
    """``c, a, b`` of the quadratic above ``min(N, k)`` that is least on average when entries are large at random.

    Raised by a hair, so that it is above whatever the rounding.
    """
    k = np.arange(pattern.m + 1, dtype=np.float64)
    kept = np.minimum(k, pattern.n)
    share = pattern.n / pattern.m
    chance = np.array([math.comb(pattern.m, int(i)) * share**i * (1 - share) ** (pattern.m - i) for i in k])
    terms = np.column_stack([np.ones_like(k), k, k * (k - 1) / 2])
    solved = linprog(chance @ terms, A_ub=-terms, b_ub=-kept, bounds=[(None, None)] * 3, method="highs")
    c, a, b = (float(value) for value in solved.x)
    return c + max(0.0, float((kept - terms @ solved.x).max())) + 1e-12, a, min(b, 0.0)


def level_shares(pattern: Pattern, coefficients: tuple[float, float, float]) -> tuple[float, float]:
    """Between which shares of large entries the quadratic beats both N and k on average."""
    c, a, b = coefficients
    m = pattern.m
    p = np.linspace(0.0, 1.0, 2001)
    mean = c + a * m * p + b * m * (m - 1) / 2 * p**2
    better = p[mean < np.minimum(pattern.n, m * p)]
    return (float(better[0]), float(better[-1])) if better.size else (pattern.n / m, pattern.n / m)


def pair_bound(problem: Problem, *, workers: int = 1, should_stop: Callable[[], bool] = lambda: False) -> Certificate:
    """Bound what any permutation keeps, at the cost of the sums of minima of all pairs of columns.

    Parameters
    ----------
    problem : Problem
        The problem; any size whose C x C float64 matrix fits into memory.
    workers : int, default 1
        Threads.
    should_stop : callable, optional
        Asked now and then; the bound reached by then is returned (the row bound, when there is none yet).

    Returns
    -------
    Certificate
        Of method ``"pairs"``, or ``"rows"`` where that is tighter.

    Raises
    ------
    MemoryError
        When there is no room for the matrix.
    """
    rows_only = Certificate("rows", problem.row_bound)
    m = problem.pattern.m
    width = problem.columns + problem.padding
    if problem.group_count < 2 or problem.row_bound <= 0.0:
        return rows_only
    require_memory(f"the pairs of {width} columns", 8.0 * width * (width + _COPIES * problem.rows))
    x = problem.padded.astype(np.float64, copy=False)
    scale = float(np.ldexp(1.0, int(np.frexp(x.max())[1]) - 1))
    coefficients = quadratic(problem.pattern)
    few, many = level_shares(problem.pattern, coefficients)
    ordered = np.sort(x, axis=0)  # ascending over the columns of each row
    low = ordered[width - 1 - min(width - 1, int(many * width))]
    high = np.maximum(low, ordered[width - 1 - min(width - 1, int(few * width))])
    c, a, b = coefficients
    y = np.clip(x, low, high) - low
    fixed = problem.group_count * float((problem.pattern.n * low + c * (high - low)).sum())
    fixed += a * float(y.sum()) + float(np.maximum(x - high, 0.0).sum())
    pairs = _pair_terms((y / scale).astype(np.float32), workers, should_stop)
    if pairs is None or should_stop():
        return rows_only
    # Each sum may be too large by its rounding; b <= 0 turns that into a term too small: allow for it.
    error = (BLOCK + 2) * _UNIT
    pairs *= b * (1.0 - error)
    np.fill_diagonal(pairs, -np.inf)
    prices, value = _prices(pairs, m, should_stop)
    bound = (fixed + value * scale) * (1.0 + _ROUNDING)
    if not bound < problem.row_bound:
        return rows_only
    best, _ = best_partners(pairs, prices, m)
    return Certificate("pairs", bound, (Node(prices * scale),), Layers(coefficients, low, high, best * scale))


def _pair_terms(y: NDArray[np.float32], workers: int, should_stop: Callable[[], bool]) -> NDArray[np.float64] | None:
    """Sums of minima of all pairs, symmetric; None when stopped meanwhile."""
    columns = y.shape[0]
    sums = np.empty((columns, columns))
    with Threads(workers) as pool:
        for begin in range(0, columns, _SLICE * workers):
            if should_stop():
                return None
            starts = range(begin, min(begin + _SLICE * workers, columns), _SLICE)
            list(pool.map(lambda first: sums_of_minima(y, first, min(first + _SLICE, columns), sums), starts))
    for begin in range(0, columns, _MIRRORED):
        if should_stop():
            return None
        end = min(begin + _MIRRORED, columns)
        sums[begin:end, :begin] = sums[:begin, begin:end].T
        block = sums[begin:end, begin:end]
        lower = np.tril_indices(end - begin, -1)
        block[lower] = block.T[lower]
    return sums


def best_partners(
    pairs: NDArray[np.float64], prices: NDArray[np.float64], m: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What the M - 1 partners that each column would choose are worth to it, prices subtracted, and who they are."""
    columns = pairs.shape[0]
    best, partners = np.empty(columns), np.empty((columns, m - 1), np.int64)
    for begin in range(0, columns, _MIRRORED):  # no copy of the whole matrix
        part = slice(begin, begin + _MIRRORED)
        gain = pairs[part] - prices
        partners[part] = np.argpartition(-gain, m - 2, axis=1)[:, : m - 1]
        best[part] = np.take_along_axis(gain, partners[part], axis=1).sum(axis=1)
    return best - (m - 1) * prices, partners


def factor_bound(pairs: NDArray[np.float64], prices: NDArray[np.float64], m: int) -> tuple[float, NDArray[np.int64]]:
    """Bound on the pairs of any partition under these prices, and the M - 1 partners that each column would choose."""
    best, partners = best_partners(pairs, prices, m)
    return float((m - 1) * prices.sum() + best.sum() / 2.0), partners


def _prices(pairs: NDArray[np.float64], m: int, should_stop: Callable[[], bool]) -> tuple[NDArray[np.float64], float]:
    """Prices of about the least bound, by subgradient steps: columns that are chosen too often become dearer."""
    columns = pairs.shape[0]
    prices = np.zeros(columns)
    best_prices = prices
    best, partners = factor_bound(pairs, prices, m)
    finite = pairs[0, 1:]
    step = float(finite.std()) / m
    since = 0
    for _ in range(_STEPS):
        if should_stop():
            break
        chosen = np.bincount(partners.ravel(), minlength=columns)
        prices = prices + step * (chosen - (m - 1.0)) / m
        value, partners = factor_bound(pairs, prices, m)
        if value < best:
            best, best_prices, since = value, prices, 0
        else:
            since += 1
            if since >= _PATIENCE:
                step, since, prices = step / 2.0, 0, best_prices
                _, partners = factor_bound(pairs, prices, m)
    return best_prices, best
