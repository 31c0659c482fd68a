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
_UNIT = 2.0**-52
# The least number of float64. Proofs are made in numbers of ordinary size and then scaled; where the weights are as
# small as this, that rounds each number to a multiple of it, and no share of a value can allow for it.
LEAST = 2.0**-1074


def grain(problem: Problem, node: Node | None = None) -> float:
    """How far a sum of all numbers of a proof can be off because they are multiples of the least number."""
    odd_sets = () if node is None else node.odd_sets
    terms = problem.columns + problem.padding + problem.group_count + sum(len(odd_set) for odd_set in odd_sets)
    return LEAST * (terms + problem.pattern.m)


def largest_sum(entries: Values, n: int) -> Values:
    """Sum of the n largest along the first axis (by full sorting), then over the last."""
    kept: Values = np.sort(entries, axis=0)[entries.shape[0] - n :].sum(axis=-1).sum(axis=0)
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


def rounding(problem: Problem, node: Node, values: Values) -> float:
    """More than float64 can be wrong by in a reduced cost: numpy adds up the rows in pairs of halves, not in turn."""
    terms = 32 + math.log2(problem.rows) + problem.pattern.n + 2 * problem.pattern.m + len(node.odd_sets)
    size = (
        float(values.max(initial=0.0)) + problem.pattern.m * float(np.abs(node.duals).max()) + math.fsum(node.weights)
    )
    return _UNIT * terms * size


@dataclass(eq=False)
class Repricing:
    """Check what the nodes of a certificate of methods ``duals`` and ``branching`` say, looking at every group.

    A node says that no group which is left there has a reduced cost above its ``excess``, and what follows from that:
    its ``bound``. Both are recomputed, to within a share ``TOLERANCE / 4`` of the value. Which groups are left follows
    from the statements of the nodes above, which were checked before.

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
        """The bound that the certificate proves.

        Raises
        ------
        InvalidCertificateError
            When a node says what does not hold, or the nodes are no tree.
        """
        nodes = certificate.nodes
        check_nodes(self.problem, nodes)
        proven = -math.inf
        # Parts that are not settled yet, the next one last: their groups, the values of these, and a bound.
        parts = [(*self._near(nodes[0]), math.inf)]
        for number, node in enumerate(nodes):
            if not parts:
                raise InvalidCertificateError(f"the proof has {len(nodes)} nodes, its tree only {number}")
            groups, values, bound = parts.pop()
            if not node.duals.size:
                proven = max(proven, bound)
                continue
            reduced = self._priced(number, node, groups, values)
            bound = min(bound, node.bound)
            if not node.children:
                proven = max(proven, bound)
                continue
            left = reduced >= self._too_low(node)
            groups, values = groups[left], values[left]
            if node.pair is None:
                parts.append((groups, values, bound))
                continue
            one, other = ((groups == column).any(axis=1) for column in node.pair)
            for side in (~(one & other), one == other):
                parts.append((groups[side], values[side], bound))
        if parts:
            raise InvalidCertificateError("the proof ends in the middle of its tree")
        return max(proven, self.value)

    def _near(self, root: Node) -> tuple[Groups, Values]:
        """Go through all groups: those that can be in a better partition, if what the root says holds."""
        problem = self.problem
        matrix = problem.padded.astype(np.float64)
        chunk = max(1, _CHUNK // (problem.rows * problem.pattern.m))
        kept_groups: list[Groups] = []
        kept_values: list[Values] = []
        for groups in all_groups(problem, chunk):
            values = group_values(matrix, groups, problem.pattern.n)
            reduced = self._priced(0, root, groups, values)
            if root.children:
                near = reduced >= self._too_low(root)
                kept_groups.append(groups[near])
                kept_values.append(values[near])
        if not kept_groups:
            return np.empty((0, problem.pattern.m), np.int64), np.empty(0)
        return np.concatenate(kept_groups), np.concatenate(kept_values)

    def _priced(self, number: int, node: Node, groups: Groups, values: Values) -> Values:
        """Reduced costs, none of which may exceed what the node says."""
        reduced = reduced_costs(node, groups, values, self.problem.columns + self.problem.padding)
        largest = float(reduced.max(initial=0.0)) + rounding(self.problem, node, values)
        allowed = TOLERANCE / 4.0 * abs(self.value) / self.problem.group_count
        allowed += LEAST * (2 * self.problem.pattern.m + len(node.odd_sets))
        if not largest <= node.excess + allowed:
            raise InvalidCertificateError(
                f"node {number}: a group is worth {largest!r} more than its columns cost, the proof says at most "
                f"{node.excess!r}"
            )
        return reduced

    def _too_low(self, node: Node) -> float:
        """A group of a smaller reduced cost is in no partition that is better than the value."""
        return self.value * (1.0 + TOLERANCE / 2.0) + 2.0 * grain(self.problem, node) - node.bound


def check_nodes(problem: Problem, nodes: Sequence[Node]) -> None:
    """Shapes, ranges and signs of all nodes, and whether their bounds follow from their prices.

    Raises
    ------
    InvalidCertificateError
        When something is off.
    """
    width = problem.columns + problem.padding
    if not nodes:
        raise InvalidCertificateError("the certificate holds no prices")
    for number, node in enumerate(nodes):
        sizes = (width,) if number == 0 else (0, width)
        if node.duals.ndim != 1 or node.duals.size not in sizes or not np.isfinite(node.duals).all():
            raise InvalidCertificateError(f"node {number}: the prices must be {width} finite numbers")
        fit = node.weights.shape == (len(node.odd_sets),)
        if not fit or not ((node.weights >= 0.0) & (node.weights < np.inf)).all():
            raise InvalidCertificateError(f"node {number}: each odd set needs a finite price >= 0")
        for odd_set in node.odd_sets:
            inside = len(set(odd_set)) == len(odd_set) and all(0 <= column < width for column in odd_set)
            if len(odd_set) % 2 == 0 or not inside:
                raise InvalidCertificateError(f"node {number}: {odd_set} is no odd set of columns")
        if node.children not in (0, 1, 2) or (node.children == 2) != (node.pair is not None):
            raise InvalidCertificateError(f"node {number}: {node.children} children and pair {node.pair}")
        if node.children and not node.duals.size:
            raise InvalidCertificateError(f"node {number}: it has {node.children} children and no prices")
        if node.pair is not None and not (0 <= node.pair[0] < width and 0 <= node.pair[1] < width):
            raise InvalidCertificateError(f"node {number}: pair {node.pair} is out of range")
        if node.pair is not None and node.pair[0] == node.pair[1]:
            raise InvalidCertificateError(f"node {number}: a pair needs two columns, got {node.pair}")
        if node.duals.size:
            _check_statement(number, node, problem.group_count, grain(problem, node))


def _check_statement(number: int, node: Node, groups: int, grained: float) -> None:
    found = node.base + groups * node.excess
    size = float(np.abs(node.duals).max()) + math.fsum(node.weights) + groups * node.excess
    allowed = _UNIT * (8 + len(node.odd_sets)) * size + grained
    if not 0.0 <= node.excess < math.inf or not abs(node.bound - found) <= allowed:
        raise InvalidCertificateError(
            f"node {number}: it says {node.bound!r}, from its prices and an excess of {node.excess!r} follows {found!r}"
        )


@dataclass(eq=False)
class PairRepricing:
    """Check what a certificate of method ``pairs`` says, all in float64.

    Parameters
    ----------
    problem : Problem
        The problem.
    layers : Layers
        The relaxation to pairs.
    prices : ndarray of float64
        Prices of the columns.

    Raises
    ------
    InvalidCertificateError
        When one of them is impossible.
    """

    problem: Problem
    layers: Layers
    prices: Values

    def __post_init__(self) -> None:
        m, n = self.problem.pattern.m, self.problem.pattern.n
        width = self.problem.columns + self.problem.padding
        c, a, b = self.layers.quadratic
        k = np.arange(m + 1)
        if not (c + a * k + b * k * (k - 1) / 2 >= np.minimum(k, n)).all() or b > 0.0:
            raise InvalidCertificateError(f"the quadratic {self.layers.quadratic} is not above min(N, k)")
        low, high = self.layers.low, self.layers.high
        rows = (self.problem.rows,)
        if low.shape != rows or high.shape != rows or not ((low >= 0.0) & (low <= high) & (high < np.inf)).all():
            raise InvalidCertificateError("the thresholds must be 0 <= low <= high, one pair per row")
        for name, numbers in (("prices", self.prices), ("sums over pairs", self.layers.best)):
            if numbers.shape != (width,) or not np.isfinite(numbers).all():
                raise InvalidCertificateError(f"the {name} must be {width} finite numbers")
        self._x = self.problem.padded.astype(np.float64)
        self._y = np.clip(self._x, low, high) - low

    def stated(self) -> float:
        """The bound that follows from what the certificate says of the pairs."""
        c, a, _ = self.layers.quadratic
        low, high = self.layers.low, self.layers.high
        m, n = self.problem.pattern.m, self.problem.pattern.n
        fixed = self.problem.group_count * float((n * low + c * (high - low)).sum())
        fixed += a * float(self._y.sum()) + float(np.maximum(self._x - high, 0.0).sum())
        return fixed + (m - 1) * math.fsum(self.prices) + math.fsum(self.layers.best) / 2.0

    def check(self, columns: Sequence[int]) -> None:
        """Whether the pairs of these columns are worth no more than the certificate says.

        Raises
        ------
        InvalidCertificateError
            When those of one are.
        """
        m, b = self.problem.pattern.m, self.layers.quadratic[2]
        allowed = TOLERANCE / len(self.prices) * abs(self.problem.row_bound) + 4 * m * LEAST
        for i in columns:
            gain = b * np.minimum(self._y[i], self._y).sum(axis=1) - self.prices[i] - self.prices
            gain[i] = -np.inf
            largest = float(np.sort(gain)[len(gain) - m + 1 :].sum())
            if largest > self.layers.best[i] + allowed:
                raise InvalidCertificateError(
                    f"the pairs of column {i} are worth {largest!r}, the proof says at most {self.layers.best[i]!r}"
                )
