"""Bounds recomputed from certificates in plain numpy: slow, simple, nothing shared with the solvers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from permsolve.certificate import Certificate, Layers, Node
from permsolve.errors import InvalidCertificateError
from permsolve.problem import Problem

Groups = NDArray[np.int64]
Values = NDArray[np.float64]

# Share of the value within which bounds are compared: linear programmes and sums of thousands of numbers round.
TOLERANCE = 1e-9
# Entries of saliency looked at in one go.
_CHUNK = 1 << 22


def largest_sum(entries: Values, n: int) -> Values:
    """Sum of the n largest along the first axis (by full sorting), then over the last."""
    kept: Values = np.sort(entries, axis=0)[entries.shape[0] - n :].sum(axis=(0, -1))
    return kept


def group_values(matrix: Values, groups: Groups, n: int) -> Values:
    """What each group keeps; ``matrix`` is columns first, padding columns included."""
    step = max(1, _CHUNK // (matrix.shape[1] * groups.shape[1]))
    parts = [largest_sum(matrix[groups[k : k + step].T], n) for k in range(0, groups.shape[0], step)]
    return np.concatenate(parts) if parts else np.empty(0)


def group_count(problem: Problem) -> int:
    """How many groups there are: M columns, or what goes with all padding columns."""
    m = problem.pattern.m
    short = math.comb(problem.columns, m - problem.padding) if problem.padding else 0
    return math.comb(problem.columns, m) + short


def all_groups(problem: Problem, chunk: int) -> Iterator[Groups]:
    """All groups, ``chunk`` at a time."""
    m = problem.pattern.m
    filler = tuple(range(problem.columns, problem.columns + problem.padding))
    for size, rest in ((m, ()), (m - len(filler), filler)) if filler else ((m, ()),):
        chosen = combinations(range(problem.columns), size)
        while listed := list(islice(chosen, chunk)):
            yield np.array([(*group, *rest) for group in listed], np.int64)


def reduced_costs(node: Node, groups: Groups, values: Values, width: int) -> Values:
    """Values of groups beyond the prices of a node."""
    reduced: Values = values - node.duals[groups].sum(axis=1)
    for odd_set, weight in zip(node.odd_sets, node.weights, strict=True):
        inside = np.zeros(width, np.int64)
        inside[list(odd_set)] = 1
        reduced -= weight * (inside[groups].sum(axis=1) // 2)
    return reduced


def base(node: Node) -> float:
    """Sum of a node's prices, those of odd sets times their right-hand sides."""
    return math.fsum(node.duals) + math.fsum(
        weight * (len(odd_set) // 2) for odd_set, weight in zip(node.odd_sets, node.weights, strict=True)
    )


@dataclass(eq=False)
class Repricing:
    """Recompute what a certificate of methods ``duals`` and ``branching`` proves, looking at every group.

    Parameters
    ----------
    problem : Problem
        The problem.
    value : float
        Value of the permutation: what a branching shows nothing to beat.
    """

    problem: Problem
    value: float

    def bound(self, certificate: Certificate) -> float:
        """The bound that the certificate proves."""
        problem = self.problem
        nodes = certificate.nodes
        self._check(nodes)
        matrix = problem.padded.astype(np.float64)
        root = nodes[0]
        chunk = max(1, _CHUNK // (problem.rows * problem.pattern.m))
        largest = 0.0
        kept_groups: list[Groups] = []
        kept_values: list[Values] = []
        # What cannot be in a better partition even if the largest reduced cost is 0: refined when it is known.
        cut = self.value * (1.0 + TOLERANCE) - base(root)
        for groups in all_groups(problem, chunk):
            values = group_values(matrix, groups, problem.pattern.n)
            reduced = reduced_costs(root, groups, values, matrix.shape[0])
            largest = max(largest, float(reduced.max()))
            if root.children:
                near = reduced >= cut - problem.group_count * largest
                kept_groups.append(groups[near])
                kept_values.append(values[near])
        bound = base(root) + problem.group_count * largest
        if not root.children:
            return bound
        self._groups, self._values = np.concatenate(kept_groups), np.concatenate(kept_values)
        proven, used = self._walk(nodes, 0, np.ones(self._groups.shape[0], np.bool_), bound)
        if used != len(nodes):
            raise InvalidCertificateError(f"the proof has {len(nodes)} nodes, its tree only {used}")
        return proven

    def _walk(self, nodes: Sequence[Node], first: int, active: NDArray[np.bool_], bound: float) -> tuple[float, int]:
        """Bound of the part that begins at a node, over the active groups; and the node after it."""
        if first >= len(nodes):
            raise InvalidCertificateError("the proof ends in the middle of its tree")
        node = nodes[first]
        if not node.duals.size:
            return max(bound, self.value), first + 1
        reduced = reduced_costs(node, self._groups, self._values, self.problem.columns + self.problem.padding)
        here = base(node) + self.problem.group_count * float(reduced[active].max(initial=0.0))
        bound = min(bound, here)
        if not node.children:
            return max(bound, self.value), first + 1
        active = active & (reduced >= self.value * (1.0 + TOLERANCE) - here)
        if node.children == 1:
            return self._walk(nodes, first + 1, active, bound)
        assert node.pair is not None  # checked before
        one, other = ((self._groups == column).any(axis=1) for column in node.pair)
        together, after = self._walk(nodes, first + 1, active & (one == other), bound)
        apart, after = self._walk(nodes, after, active & ~(one & other), bound)
        return max(together, apart), after

    def _check(self, nodes: Sequence[Node]) -> None:
        """Shapes, ranges and signs of all nodes."""
        width = self.problem.columns + self.problem.padding
        if not nodes:
            raise InvalidCertificateError("the certificate holds no prices")
        for number, node in enumerate(nodes):
            sizes = (width,) if number == 0 else (0, width)
            if node.duals.ndim != 1 or node.duals.size not in sizes or not np.isfinite(node.duals).all():
                raise InvalidCertificateError(f"node {number}: the prices must be {width} finite numbers")
            if node.weights.shape != (len(node.odd_sets),) or not (node.weights >= 0.0).all():
                raise InvalidCertificateError(f"node {number}: each odd set needs a price >= 0")
            for odd_set in node.odd_sets:
                inside = len(set(odd_set)) == len(odd_set) and all(0 <= column < width for column in odd_set)
                if len(odd_set) % 2 == 0 or not inside:
                    raise InvalidCertificateError(f"node {number}: {odd_set} is no odd set of columns")
            if node.children not in (0, 1, 2) or (node.children == 2) != (node.pair is not None):
                raise InvalidCertificateError(f"node {number}: {node.children} children and pair {node.pair}")
            if node.pair is not None and not (0 <= node.pair[0] < width and 0 <= node.pair[1] < width):
                raise InvalidCertificateError(f"node {number}: pair {node.pair} is out of range")
            if node.pair is not None and node.pair[0] == node.pair[1]:
                raise InvalidCertificateError(f"node {number}: a pair needs two columns, got {node.pair}")


def pair_bound(problem: Problem, layers: Layers, prices: Values) -> float:
    """What a certificate of method ``pairs`` proves, all in float64."""
    m, n = problem.pattern.m, problem.pattern.n
    width = problem.columns + problem.padding
    c, a, b = layers.quadratic
    k = np.arange(m + 1)
    if not (c + a * k + b * k * (k - 1) / 2 >= np.minimum(k, n)).all() or b > 0.0:
        raise InvalidCertificateError(f"the quadratic {layers.quadratic} is not above min(N, k)")
    low, high = layers.low, layers.high
    if low.shape != (problem.rows,) or high.shape != low.shape or not ((low >= 0.0) & (low <= high)).all():
        raise InvalidCertificateError("the thresholds must be 0 <= low <= high, one pair per row")
    if prices.shape != (width,) or not np.isfinite(prices).all():
        raise InvalidCertificateError(f"the prices must be {width} finite numbers")
    x = problem.padded.astype(np.float64)
    y = np.clip(x, low, high) - low
    total = problem.group_count * float((n * low + c * (high - low)).sum())
    total += a * float(y.sum()) + float(np.maximum(x - high, 0.0).sum()) + (m - 1) * math.fsum(prices)
    for i in range(width):
        gain = b * np.minimum(y[i], y).sum(axis=1) - prices[i] - prices
        gain[i] = -np.inf
        total += float(np.sort(gain)[width - m + 1 :].sum()) / 2.0
    return total
