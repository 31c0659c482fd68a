"""Permutations and the partitions that they stand for."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from permsolve.errors import InvalidSolutionError
from permsolve.pattern import Pattern
from permsolve.permutation import canonical, check_permutation, from_groups, to_groups


@pytest.mark.parametrize("given_as", [[2, 0, 1], (2, 0, 1), np.array([2, 0, 1], np.uint8), np.array([2, 0, 1], ">i4")])
def test_any_integers_are_taken(given_as: object) -> None:
    """Lists, tuples and arrays of every integer type become int64."""
    checked = check_permutation(given_as, 3)  # type: ignore[arg-type]
    assert checked.dtype == np.int64
    assert checked.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([0.0, 1.0, 2.0], "array of integers"),
        ([True, False, True], "array of integers"),
        (["0", "1", "2"], "array of integers"),
        ([[0, 1, 2]], "array of integers"),
        (5, "array of integers"),
        (None, "array of integers"),
        ([0, 1], "orders 2 columns, the matrix has 3"),
        ([0, 1, 3], "names column 3: columns run from 0 to 2"),
        ([0, -1, 2], "names column -1"),
        (np.array([0, 1, 2**64 - 1], np.uint64), "names column 18446744073709551615"),
        ([0, 0, 1], "names column 0 2 times"),
    ],
)
def test_what_is_no_permutation_is_refused(wrong: object, message: str) -> None:
    """One clear reason each."""
    with pytest.raises(InvalidSolutionError, match=message):
        check_permutation(wrong, 3)  # type: ignore[arg-type]


def test_the_argument_is_copied() -> None:
    """Changing the caller's array later changes nothing here."""
    mine = np.array([1, 0])
    checked = check_permutation(mine, 2)
    mine[:] = 0
    assert checked.tolist() == [1, 0]


def test_padding_fills_the_last_group() -> None:
    """Seven columns in groups of four: column 7 is padding."""
    groups = to_groups(np.array([6, 5, 4, 3, 2, 1, 0]), Pattern(2, 4))
    assert groups.tolist() == [[6, 5, 4, 3], [2, 1, 0, 7]]
    assert from_groups(groups, 7).tolist() == [3, 4, 5, 6, 0, 1, 2]


@given(st.permutations(range(10)), st.sampled_from([(1, 2), (2, 4), (3, 5), (5, 7), (2, 16)]), st.randoms())
def test_the_canonical_form_depends_on_the_partition_only(
    order: list[int], numbers: tuple[int, int], random: Random
) -> None:
    """Shuffling the columns in a group, and the full groups, gives the same canonical permutation."""
    pattern = Pattern(*numbers)
    groups = [order[start : start + pattern.m] for start in range(0, 10, pattern.m)]
    short = [groups.pop()] if len(groups[-1]) < pattern.m else []
    random.shuffle(groups)
    for group in (*groups, *short):
        random.shuffle(group)
    shuffled = [column for group in (*groups, *short) for column in group]
    first = canonical(np.array(order), pattern)
    assert first.tolist() == canonical(np.array(shuffled), pattern).tolist()
    assert first.tolist() == canonical(first, pattern).tolist()
    assert sorted(first.tolist()) == list(range(10))
