"""The judge, against plain loops and against the core."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.runner.rescoring import WrongValueError, check_optimum, check_value, kept_magnitude
from permsolve import Pattern, Problem
from tests import oracle


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 6),
    columns=st.integers(1, 13),
    pattern=st.sampled_from([(1, 2), (2, 4), (1, 4), (4, 8), (3, 5)]),
    seed=st.integers(0, 10**6),
)
def test_agrees_with_plain_loops(rows: int, columns: int, pattern: tuple[int, int], seed: int) -> None:
    """Any shape and pattern, also a short last group, negative entries included."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(rows, columns))
    order = rng.permutation(columns)
    naive = oracle.partition_value(np.abs(weight), order.tolist(), *pattern)
    assert kept_magnitude(weight, order, *pattern) == pytest.approx(naive, rel=1e-12)
    assert Problem.from_weight(weight, Pattern(*pattern)).value(order) == pytest.approx(naive, rel=1e-12)


def test_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as the core reads them, in blocks of rows."""
    weight = np.random.default_rng(0).normal(size=(5, 8, 3, 3)).astype(np.float32)
    order = np.random.default_rng(1).permutation(8)
    whole = kept_magnitude(weight, order, 2, 4)
    assert whole == pytest.approx(Problem.from_weight(weight).value(order), rel=1e-12)
    monkeypatch.setattr("bench.runner.rescoring._BLOCK", 1)
    assert kept_magnitude(weight, order, 2, 4) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 4], [[0, 1, 2, 3]], [-1, 0, 1, 2]])
def test_no_permutation(order: list[int]) -> None:
    """Anything that does not name each column once is refused."""
    with pytest.raises(WrongValueError, match="each of the 4 columns"):
        kept_magnitude(np.ones((2, 4)), order, 2, 4)


def test_wrong_claims() -> None:
    """Values that differ, values above a known optimum, bounds below it."""
    check_value(1.0, 1.0 + 1e-12)
    check_optimum(1.0, 1.0, 1.0)
    with pytest.raises(WrongValueError, match="the result says 2"):
        check_value(2.0, 1.0)
    with pytest.raises(WrongValueError, match="above the known optimum"):
        check_optimum(1.1, 2.0, 1.0)
    with pytest.raises(WrongValueError, match="below the known optimum"):
        check_optimum(0.5, 0.9, 1.0)
