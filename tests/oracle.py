"""Naive versions of what the kernels and solvers compute, to compare them with: plain loops, nothing shared."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from numpy.typing import NDArray

Matrix = NDArray[Any]


def group_value(saliency: Matrix, group: Sequence[int], n: int) -> float:
    """What the pattern keeps of these columns of a matrix (rows, columns); columns past its end hold zeros."""
    columns = [column for column in group if column < saliency.shape[1]]
    total = 0.0
    for row in saliency[:, columns].tolist():
        total += sum(sorted(row, reverse=True)[:n])
    return total


def partition_value(saliency: Matrix, permutation: Sequence[int], n: int, m: int) -> float:
    """What the pattern keeps of the re-ordered matrix."""
    order = list(permutation)
    return sum(group_value(saliency, order[start : start + m], n) for start in range(0, len(order), m))


def row_bound(saliency: Matrix, n: int, m: int) -> float:
    """What is kept when every row keeps its largest entries wherever they stand."""
    columns = saliency.shape[1]
    kept = columns // m * n + min(n, columns % m)
    return sum(sum(sorted(row, reverse=True)[:kept]) for row in saliency.tolist())


def exchange_entry(saliency: Matrix, group: Sequence[int], position: int, column: int, n: int) -> float:
    """By how much a group's value changes when ``column`` takes the place of its member at ``position``."""
    changed = list(group)
    changed[position] = column
    return group_value(saliency, changed, n) - group_value(saliency, group, n)


def partitions(columns: Sequence[int], m: int) -> Iterator[list[tuple[int, ...]]]:
    """Every partition into groups of ``m``, of which one is short when the columns are not a multiple of it."""
    rest = len(columns) % m
    if rest:
        for short in combinations(columns, rest):
            others = [column for column in columns if column not in short]
            for full in partitions(others, m):
                yield [*full, short]
        return
    if not columns:
        yield []
        return
    first, *others = columns
    for mates in combinations(others, m - 1):
        left = [column for column in others if column not in mates]
        for tail in partitions(left, m):
            yield [(first, *mates), *tail]


def best_value(saliency: Matrix, n: int, m: int) -> float:
    """The optimum, by looking at every partition."""
    known: dict[tuple[int, ...], float] = {}
    best = -1.0
    for partition in partitions(range(saliency.shape[1]), m):
        value = 0.0
        for group in partition:
            if group not in known:
                known[group] = group_value(saliency, group, n)
            value += known[group]
        best = max(best, value)
    return best


def partition_count(columns: int, m: int) -> int:
    """How many partitions :func:`partitions` yields, counted by building them."""
    return sum(1 for _ in partitions(range(columns), m))
