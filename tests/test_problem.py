"""The problem: its values against the naive ones, what it refuses, and that nothing can change it."""

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from permsolve.errors import InvalidPatternError, InvalidProblemError, InvalidSolutionError
from permsolve.pattern import Pattern
from permsolve.problem import Problem, efficacy
from tests import oracle
from tests.instances import KINDS, PATTERNS, matrix

SHAPES = [(1, 1), (1, 7), (7, 1), (5, 3), (9, 12), (4, 33)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("text", PATTERNS)
def test_values_equal_the_naive_ones(text: str, shape: tuple[int, int]) -> None:
    """Value, baseline, row bound and total, with short groups, more M than columns, and one row or column."""
    pattern = Pattern.parse(text)
    rng = np.random.default_rng(2)
    for kind in KINDS:
        saliency = matrix(kind, *shape, rng)
        problem = Problem(saliency, pattern)
        order = rng.permutation(shape[1])
        close = pytest.approx
        assert problem.value(order) == close(oracle.partition_value(saliency, order.tolist(), pattern.n, pattern.m))
        assert problem.baseline == close(oracle.partition_value(saliency, range(shape[1]), pattern.n, pattern.m))
        assert problem.row_bound == close(oracle.row_bound(saliency, pattern.n, pattern.m))
        assert problem.total == close(saliency.sum())


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(0, 1e6)),
    st.sampled_from(PATTERNS),
    st.randoms(),
)
def test_no_order_beats_the_row_bound(saliency: NDArray[Any], text: str, random: Any) -> None:
    """Nor keeps more than there is, nor less than the pattern's share of it."""
    problem = Problem(saliency, text)
    order = list(range(problem.columns))
    random.shuffle(order)
    value = problem.value(order)
    slack = 1e-9 * problem.total
    assert problem.total * problem.pattern.n / problem.pattern.m - slack <= value
    assert value <= problem.row_bound + slack <= problem.total + 2 * slack


def test_group_values_add_up_to_the_value() -> None:
    """Groups may be asked for by themselves, in any number."""
    problem = Problem(np.random.default_rng(0).random((6, 10)), "2:4")
    groups = [[3, 1, 4, 5], [9, 2, 6, 0], [8, 7, 10, 11]]
    assert problem.group_values(groups).sum() == pytest.approx(problem.value([3, 1, 4, 5, 9, 2, 6, 0, 8, 7]))
    assert problem.group_values(np.empty((0, 4), np.int64)).tolist() == []


def test_the_counts() -> None:
    """Rows, columns, groups and padding of a matrix with a short last group."""
    problem = Problem(np.ones((3, 10)), "2:4")
    assert (problem.rows, problem.columns, problem.group_count, problem.padding) == (3, 10, 3, 2)
    assert problem.padded.shape == (12, 3)
    assert not problem.padded[10:].any()
    assert repr(problem) == "Problem(3 x 10, 2:4)"


def test_efficacy_is_the_share_of_the_way_to_the_row_bound() -> None:
    """0 at the given order, 100 at the bound, and 100 where there is no way to go."""
    problem = Problem([[3.0, 2.0, 0.0, 1.0]], "1:2")
    assert (problem.baseline, problem.row_bound) == (4.0, 5.0)
    assert [problem.efficacy(value) for value in (4.0, 4.5, 5.0)] == [0.0, 50.0, 100.0]
    assert Problem(np.zeros((2, 4)), "2:4").efficacy(0.0) == 100.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_entries_that_are_not_finite_are_named(bad: float, dtype: Any) -> None:
    """The message says which entry it is, in the matrix and in a weight."""
    weight = np.ones((5, 4), dtype)
    weight[3, 2] = bad
    for make in (Problem, Problem.from_weight):
        with pytest.raises(InvalidProblemError, match=r"finite and >= 0: entry \(3, 2\)"):
            make(weight, "2:4")


def test_the_entry_is_named_beyond_the_first_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are counted from the first one of the weight, not of the block."""
    monkeypatch.setattr("permsolve.weights.BLOCK_ELEMENTS", 8)
    weight = np.ones((50, 4))
    weight[41, 1] = np.nan
    with pytest.raises(InvalidProblemError, match=r"entry \(41, 1\) is nan"):
        Problem.from_weight(weight)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    """Large problems are laid out and scored in parts, by all cores."""
    saliency = np.random.default_rng(0).random((50, 23)).astype(dtype)
    monkeypatch.setattr("permsolve.weights.BLOCK_ELEMENTS", 70)
    monkeypatch.setattr("permsolve.problem.BLOCK_ELEMENTS", 70)
    monkeypatch.setattr("permsolve.cores.available_cores", lambda: 3)
    plain = Problem(saliency, "2:4")
    monkeypatch.setattr("permsolve.cores.LARGE", 0)
    shared = Problem(saliency, "2:4")
    np.testing.assert_array_equal(shared.padded, plain.padded)
    assert (shared.total, shared.row_bound, shared.baseline) == (plain.total, plain.row_bound, plain.baseline)
    assert shared.row_bound == pytest.approx(np.sort(saliency, axis=1)[:, 11:].sum())
    saliency[40, 3] = np.nan
    with pytest.raises(InvalidProblemError, match=r"entry \(40, 3\) is nan"):
        Problem(saliency, "2:4")


def test_a_negative_saliency_is_refused() -> None:
    """A weight may be negative, what it is worth may not; negative zero is zero."""
    with pytest.raises(InvalidProblemError, match=r"entry \(0, 1\) is -1.0"):
        Problem([[1.0, -1.0]], "1:2")
    assert Problem([[1.0, -0.0]], "1:2").value([0, 1]) == 1.0


@pytest.mark.parametrize("shape", [(), (4,), (2, 4, 3)])
def test_a_saliency_is_a_matrix(shape: tuple[int, ...]) -> None:
    """Only weights may have more dimensions."""
    with pytest.raises(InvalidProblemError, match="saliency is a matrix"):
        Problem(np.ones(shape), "2:4")


def test_wrong_patterns_are_refused() -> None:
    """By both ways to make a problem."""
    for make in (Problem, Problem.from_weight):
        with pytest.raises(InvalidPatternError):
            make(np.ones((2, 4)), "4:2")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda weight: weight[:, :-1], r"returned shape \(3, 3\) for a matrix \(3, 4\)"),
        (lambda weight: weight.sum(axis=1), "returned shape"),
        (lambda weight: None, "returned shape"),
        (lambda weight: weight * np.nan, "finite and >= 0"),
        (lambda weight: -weight, "finite and >= 0"),
        (lambda weight: weight.astype(object), "real numbers"),
        (lambda weight: weight * 1j, "real numbers"),
    ],
)
def test_a_saliency_function_is_checked(function: Any, message: str) -> None:
    """Shape, type and values of what it returns."""
    with pytest.raises(InvalidProblemError, match=message):
        Problem.from_weight(np.ones((3, 4)), "2:4", function)


@pytest.mark.parametrize("wrong", [[0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 4], [0.0, 1.0, 2.0, 3.0]])
def test_value_refuses_what_is_no_permutation(wrong: list[Any]) -> None:
    """Scoring it would read past the matrix or count a column twice."""
    with pytest.raises(InvalidSolutionError):
        Problem(np.ones((2, 4)), "2:4").value(wrong)


def test_nothing_can_change_a_problem() -> None:
    """Fields are frozen, arrays read-only, and the caller's array was copied."""
    mine = np.ones((2, 4), np.float32)
    problem = Problem(mine, "2:4")
    mine[:] = 7
    assert problem.value(range(4)) == 4.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.pattern = Pattern(1, 2)  # type: ignore[misc]
    for array in (problem.saliency, problem.padded, problem.working):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 2.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_problem_survives_pickling(dtype: Any) -> None:
    """Same numbers, types and pattern on the other side, still read-only."""
    problem = Problem(np.random.default_rng(0).random((5, 7)).astype(dtype), "3:5")
    copy = pickle.loads(pickle.dumps(problem))
    np.testing.assert_array_equal(copy.saliency, problem.saliency)
    assert (copy.saliency.dtype, copy.pattern) == (problem.saliency.dtype, problem.pattern)
    assert copy.baseline == problem.baseline
    assert not copy.saliency.flags.writeable
    assert copy.saliency_name is None
    scored = Problem.from_weight(problem.saliency, "3:5", "squared")
    assert pickle.loads(pickle.dumps(scored)).saliency_name == "squared"


@pytest.mark.parametrize("largest", [5e-324, 1e-300, 1e-40, 1e-30, 1.0, 3e38, 1e300])
def test_the_working_copy_is_finite_at_any_magnitude(largest: float) -> None:
    """And proportional to the saliency, so that searching in it finds the same orders."""
    saliency = np.array([[1.0, 0.5, 0.25, 0.0], [0.75, 1.0, 0.0, 0.5]]) * largest
    problem = Problem(saliency, "2:4")
    working = problem.working[:4].T.astype(np.float64)
    assert np.isfinite(working).all()
    assert np.isfinite(np.square(working).sum())
    np.testing.assert_allclose(working / working.max(), saliency / largest, rtol=1e-6)


@pytest.mark.parametrize("largest", [1e-40, 1e-30, 3e38])
def test_the_working_copy_of_extreme_float32(largest: float) -> None:
    """Float32 itself is scaled where its sums would overflow or become denormal."""
    saliency = (np.array([[1.0, 0.5, 0.25, 0.0]]) * largest).astype(np.float32)
    working = Problem(saliency, "2:4").working.astype(np.float64)
    assert 0.1 < working.max() < 2.0
    np.testing.assert_allclose(working[:, 0] / working.max(), saliency[0] / saliency.max(), rtol=1e-6)


def test_an_ordinary_float32_saliency_is_not_copied() -> None:
    """Millions of rows are held once."""
    problem = Problem(np.random.default_rng(0).random((6, 8)).astype(np.float32), "2:4")
    assert np.shares_memory(problem.working, problem.padded)


def test_sums_that_overflow_are_refused() -> None:
    """Each entry is finite, what is kept of them is not: no value could be compared."""
    with pytest.raises(InvalidProblemError):
        _ = Problem(np.full((4, 4), 1e308), "2:4").baseline


def test_efficacy_where_there_is_no_room() -> None:
    """100, whatever the last bits of two sums of the same entries are; never more."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        problem = Problem(rng.random((rng.integers(1, 30), 4)) * 10.0 ** rng.integers(-9, 9), "2:4")
        assert problem.efficacy(problem.baseline) == 100.0
    assert efficacy(11.0, 0.0, 10.0) == 100.0
    assert efficacy(2.0, 0.0, 10.0) == 20.0
    assert efficacy(0.0, 0.0, 0.0) == 100.0
