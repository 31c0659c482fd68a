"""The naive versions themselves, on examples small enough to check by hand."""

import numpy as np
import pytest

from tests import oracle


def test_group_value_keeps_the_largest_of_each_row() -> None:
    """5 + 4 of the first row and 9 + 2 of the second; the column past the end holds zeros."""
    saliency = np.array([[5.0, 1.0, 4.0], [2.0, 9.0, 0.0]])
    assert oracle.group_value(saliency, [0, 1, 2, 3], 2) == 9.0 + 11.0


def test_row_bound_keeps_the_largest_wherever_they_stand() -> None:
    """3:5 keeps three of the first five and both of the two left over: five of seven."""
    saliency = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]])
    assert oracle.row_bound(saliency, 3, 5) == 7 + 6 + 5 + 4 + 3


def test_exchange_entry_is_a_difference_of_two_groups() -> None:
    """Putting the 6 in the place of the 1 frees the 3 from the kept pair."""
    saliency = np.array([[1.0, 2.0, 3.0, 4.0, 6.0]])
    assert oracle.exchange_entry(saliency, [0, 1, 2, 3], 0, 4, 2) == (6.0 + 4.0) - (4.0 + 3.0)


@pytest.mark.parametrize(("columns", "m", "ways"), [(8, 4, 35), (12, 4, 5775), (6, 2, 15), (7, 3, 70), (3, 4, 1)])
def test_partitions_are_all_there_once(columns: int, m: int, ways: int) -> None:
    """The numbers of ways known for two and three groups of four, pairs, and a short group."""
    seen = {frozenset(frozenset(group) for group in partition) for partition in oracle.partitions(range(columns), m)}
    assert len(seen) == ways == oracle.partition_count(columns, m)
