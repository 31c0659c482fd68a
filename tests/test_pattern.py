"""Patterns: what can be written, what is refused, how many entries are kept."""

import pickle

import numpy as np
import pytest

from permsolve.errors import InvalidPatternError
from permsolve.pattern import Pattern


@pytest.mark.parametrize(
    ("text", "pattern"), [("2:4", Pattern(2, 4)), (" 1 : 2 ", Pattern(1, 2)), ("16:32", Pattern(16, 32))]
)
def test_parse_reads_what_str_writes(text: str, pattern: Pattern) -> None:
    """Blanks do not matter, and text and pattern are each other's inverse."""
    assert Pattern.parse(text) == pattern
    assert Pattern.parse(str(pattern)) == pattern
    assert Pattern.parse(pattern) is pattern


@pytest.mark.parametrize(
    "text", ["", "2", "2:4:8", "2/4", "-1:4", "2.0:4", "a:b", "٢:4", "2:99999999999", None, 4, b"2:4"]
)
def test_parse_refuses_other_text(text: object) -> None:
    """The message shows what was given."""
    with pytest.raises(InvalidPatternError, match="write it as N:M"):
        Pattern.parse(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "m"), [(0, 4), (4, 4), (5, 4), (1, 1), (1, 33), (-1, 2)])
def test_impossible_numbers_are_refused(n: int, m: int) -> None:
    """1 <= N < M <= 32, both from text and from numbers."""
    with pytest.raises(InvalidPatternError, match="choose 1 <= N < M <= 32"):
        Pattern(n, m)


@pytest.mark.parametrize(("n", "m"), [(2.0, 4), ("2", 4), (True, 4), (None, 4)])
def test_numbers_must_be_integers(n: object, m: object) -> None:
    """A float, text or a truth value is no count."""
    with pytest.raises(InvalidPatternError, match="two integers"):
        Pattern(n, m)  # type: ignore[arg-type]


def test_integers_of_numpy_are_integers() -> None:
    """As everywhere else."""
    pattern = Pattern(np.int64(2), np.uint8(4))  # type: ignore[arg-type]
    assert pattern == Pattern(2, 4)
    assert type(pattern.n) is type(pattern.m) is int


@pytest.mark.parametrize(
    ("columns", "groups", "kept"),
    [(1, 1, 1), (2, 1, 2), (4, 1, 3), (5, 1, 3), (6, 2, 4), (9, 2, 6), (10, 2, 6)],
)
def test_counts_with_a_short_last_group(columns: int, groups: int, kept: int) -> None:
    """At 3:5 the short group keeps up to three of what it has."""
    pattern = Pattern(3, 5)
    assert (pattern.group_count(columns), pattern.kept_per_row(columns)) == (groups, kept)


def test_patterns_are_values() -> None:
    """They hash, compare, sort and pickle."""
    assert len({Pattern(2, 4), Pattern.parse("2:4")}) == 1
    assert sorted([Pattern(2, 4), Pattern(1, 4)]) == [Pattern(1, 4), Pattern(2, 4)]
    assert pickle.loads(pickle.dumps(Pattern(2, 4))) == Pattern(2, 4)
