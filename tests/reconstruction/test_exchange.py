"""Masks that no exchange improves: against fitting every exchange anew."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from permsolve.errors import InvalidProblemError
from permsolve.pattern import Pattern
from permsolve.reconstruction import affordable, exchange, fit, output_error, pattern_groups, refit
from tests.reconstruction.test_fitting import layer


def error(weight: NDArray[np.float64], mask: NDArray[np.bool_], moment: NDArray[np.float64]) -> float:
    """Of one row, its kept weights fitted."""
    return float(output_error(weight[None], refit(weight[None], mask[None], moment), moment)[0])


def naive_exchange(
    weight: NDArray[np.float64], mask: NDArray[np.bool_], moment: NDArray[np.float64], groups: NDArray[np.int64],
    allowed: NDArray[np.bool_],
) -> NDArray[np.bool_]:  # fmt: skip
    """The best exchange of all, again and again."""
    mask = mask.copy()
    while True:
        best, chosen = error(weight, mask, moment) * (1 - 1e-9), mask
        for group in groups:
            for out in group[(group >= 0) & mask[group]]:
                for new in group[(group >= 0) & ~mask[group] & allowed[group]]:
                    tried = mask.copy()
                    tried[[out, new]] = False, True
                    value = error(weight, tried, moment)
                    if value < best:
                        best, chosen = value, tried
        if chosen is mask:
            return mask
        mask = chosen


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), restricted=st.booleans())
@example(seed=4144, restricted=False)  # more exchanges than half of the inputs
def test_exchange_is_that_of_the_definition(seed: int, restricted: bool) -> None:
    """The same exchanges in the same order, with a short group, and with weights that may not come back."""
    weight, mask, _, moment = layer(seed, outputs=3, width=20)
    groups = np.concatenate([np.arange(16).reshape(4, 4), [[16, 17, 18, -1], [19, -1, -1, -1]]])
    allowed = mask | (np.random.default_rng(seed).random(mask.shape) < (0.5 if restricted else 1.0))
    improved = exchange(weight, mask, moment, groups, allowed if restricted else None)
    for row in range(3):
        expected = naive_exchange(weight[row], mask[row], moment, groups, allowed[row])
        np.testing.assert_array_equal(improved[row], expected)
    assert not (improved & ~allowed).any()


@pytest.mark.parametrize("pattern", ["1:2", "2:4", "1:4", "4:8"])
def test_many_exchanges(pattern: str) -> None:
    """No exchange is left over, every group keeps as many as before, and the error is much lower."""
    parsed = Pattern.parse(pattern)
    weight, _, _, moment = layer(11, outputs=3, width=64, samples=300)
    mask = np.tile(np.arange(parsed.m) < parsed.n, (3, 64 // parsed.m))
    groups = pattern_groups((3, 64), parsed)
    improved = exchange(weight, mask, moment, groups)
    assert (improved.reshape(3, -1, parsed.m).sum(axis=2) == parsed.n).all()
    for row in range(3):
        assert error(weight[row], improved[row], moment) < 0.9 * error(weight[row], mask[row], moment)
        np.testing.assert_array_equal(
            naive_exchange(weight[row], improved[row], moment, groups, np.ones(64, np.bool_)), improved[row]
        )


def test_rows_that_keep_all_or_nothing() -> None:
    """There is nothing to exchange."""
    weight, _, _, moment = layer(2, outputs=2)
    mask = np.stack([np.ones(20, np.bool_), np.zeros(20, np.bool_)])
    np.testing.assert_array_equal(exchange(weight, mask, moment, np.arange(20).reshape(5, 4)), mask)


def test_groups_of_a_convolution() -> None:
    """Channels at one place of the kernel; the last group is short."""
    groups = pattern_groups((8, 6, 1, 2), Pattern(2, 4))
    assert groups.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7], [8, 10, -1, -1], [9, 11, -1, -1]]


def test_size_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchanges take longer than a fit."""
    _, mask, _, _ = layer(4)
    work = float((mask.sum(axis=1) ** 3).sum()) / 3
    monkeypatch.setattr(fit, "EXACT_WORK", fit.EXCHANGE_WORK * work)
    assert affordable(mask)
    monkeypatch.setattr(fit, "EXACT_WORK", 0.99 * fit.EXCHANGE_WORK * work)
    assert not affordable(mask)


def test_bad_input() -> None:
    """As for a fit."""
    weight, mask, _, moment = layer(5)
    groups = np.arange(20).reshape(5, 4)
    with pytest.raises(InvalidProblemError, match="got shapes"):
        exchange(weight, mask[:, 1:], moment, groups)
    with pytest.raises(InvalidProblemError, match="not positive definite"):
        exchange(weight, mask, np.zeros_like(moment), groups)
