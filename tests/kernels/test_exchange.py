"""The exchange matrix against the naive one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from permsolve.kernels.exchange import BATCH, BLOCK, exchange
from permsolve.pattern import Pattern
from permsolve.permutation import to_groups
from permsolve.problem import Problem
from tests import oracle
from tests.instances import KINDS, PATTERNS, matrix


def working_problem(saliency: NDArray[np.float64], pattern: Pattern | str) -> Problem:
    """A problem in float32: its working copy is not scaled, so entries have the saliency's own unit."""
    return Problem(saliency.astype(np.float32), pattern)


def all_members(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """(group, position) of every member, group after group."""
    count, m = groups.shape
    return np.column_stack([np.repeat(np.arange(count), m), np.tile(np.arange(m), count)])


def full(problem: Problem, groups: NDArray[np.int64]) -> NDArray[np.float32]:
    """The whole exchange matrix; row i belongs to column i."""
    width = problem.padded.shape[0]
    out = np.full((width, width), np.nan, np.float32)
    members = all_members(groups)
    exchange(problem.working, groups, members, problem.pattern.n, np.arange(width), 0, out, groups.ravel())
    return out


def naive(problem: Problem, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same, entry by entry."""
    width = problem.padded.shape[0]
    saliency = problem.padded.T.astype(np.float64)
    out = np.empty((width, width))
    for group in groups.tolist():
        for position, member in enumerate(group):
            for column in range(width):
                out[member, column] = oracle.exchange_entry(saliency, group, position, column, problem.pattern.n)
    return out


def assert_close(actual: NDArray[np.float32], expected: NDArray[np.float64], problem: Problem) -> None:
    """Equal up to float32 sums: entries are differences of sums over the rows, so the scale is that of the sums."""
    scale = float(problem.padded.max()) * problem.rows
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=2e-6 * scale + 1e-30)


def outsiders(problem: Problem, groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where the column is not a member of the group already: the only entries that a move may use."""
    mask = np.ones((problem.padded.shape[0],) * 2, np.bool_)
    for group in groups:
        mask[np.ix_(group, group)] = False
    return mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [text for text in PATTERNS if text != "16:32"])
def test_entries_equal_the_naive_ones(text: str, kind: str) -> None:
    """Every kind of data; the columns give two full groups and a short one."""
    pattern = Pattern.parse(text)
    rng = np.random.default_rng(5)
    columns = 3 * pattern.m - 1
    problem = working_problem(matrix(kind, 9, columns, rng), pattern)
    groups = to_groups(rng.permutation(columns), pattern)
    keep = outsiders(problem, groups)
    assert_close(full(problem, groups)[keep], naive(problem, groups)[keep], problem)


def test_entries_of_the_widest_pattern() -> None:
    """16:32 with ties, two groups of which one is short."""
    rng = np.random.default_rng(6)
    problem = working_problem(matrix("ties", 5, 50, rng), "16:32")
    groups = to_groups(rng.permutation(50), problem.pattern)
    keep = outsiders(problem, groups)
    assert_close(full(problem, groups)[keep], naive(problem, groups)[keep], problem)


@pytest.mark.parametrize("rows", [1, 2, 5, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
@pytest.mark.parametrize("text", ["1:2", "2:4", "3:5"])
def test_no_row_is_lost_at_block_borders(text: str, rows: int) -> None:
    """Numbers of rows around the kernel's block; odd numbers of columns end its tiles early."""
    pattern = Pattern.parse(text)
    rng = np.random.default_rng(rows)
    problem = working_problem(matrix("uniform", rows, 2 * pattern.m, rng), pattern)
    groups = to_groups(rng.permutation(2 * pattern.m), pattern)
    keep = outsiders(problem, groups)
    assert_close(full(problem, groups)[keep], naive(problem, groups)[keep], problem)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 3])
@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_any_members_and_any_columns(count: int, width: int) -> None:
    """Only the rows and columns asked for are written, at the place asked for, whole tiles or not."""
    rng = np.random.default_rng(10 * count + width)
    problem = working_problem(matrix("uniform", 2 * BLOCK + 1 if count == 5 else 6, 24, rng), "2:4")
    groups = to_groups(rng.permutation(24), problem.pattern)
    picked = np.sort(rng.permutation(24)[:count])
    members = all_members(groups)[picked]
    columns = rng.permutation(24)[:width]
    targets = rng.permutation(30)[:count]
    out = np.full((30, width + 5), np.nan, np.float32)
    exchange(problem.working, groups, members, 2, columns, 3, out, targets)
    expected = naive(problem, groups)[groups.ravel()[picked]][:, columns]
    assert_close(out[targets, 3 : 3 + width], expected, problem)
    out[targets, 3 : 3 + width] = np.nan
    assert np.isnan(out).all()


def test_two_entries_make_the_gain_of_a_swap() -> None:
    """E[i, j] + E[j, i] is what swapping two columns of different groups changes."""
    rng = np.random.default_rng(8)
    problem = working_problem(matrix("uniform", 20, 12, rng), "3:5")
    order = rng.permutation(12)
    e = full(problem, to_groups(order, problem.pattern)).astype(np.float64)
    before = problem.value(order)
    for left, right in ((0, 5), (4, 9), (3, 11), (7, 10)):
        swapped = order.copy()
        swapped[[left, right]] = order[[right, left]]
        i, j = order[left], order[right]
        assert e[i, j] + e[j, i] == pytest.approx(problem.value(swapped) - before, abs=1e-4)


def test_refreshing_touched_groups_equals_computing_all_anew() -> None:
    """After a swap, the rows of the two touched groups are the only ones that differ, bit by bit."""
    rng = np.random.default_rng(9)
    problem = working_problem(matrix("heavy", 30, 16, rng), "2:4")
    groups = to_groups(rng.permutation(16), problem.pattern)
    e = full(problem, groups)
    groups[0, 1], groups[2, 3] = groups[2, 3], groups[0, 1]
    touched = all_members(groups)[[0, 1, 2, 3, 8, 9, 10, 11]]
    exchange(problem.working, groups, touched, 2, np.arange(16), 0, e, groups[[0, 2]].ravel())
    np.testing.assert_array_equal(e, full(problem, groups))
