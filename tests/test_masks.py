"""N:M masks under a permutation."""

from typing import Any

import numpy as np
import pytest

from permsolve.errors import InvalidProblemError
from permsolve.masks import nm_mask
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from tests.instances import PATTERNS


@pytest.mark.parametrize("shape", [(7, 12), (1, 12), (5, 10), (3, 1), (4, 12, 3), (3, 10, 3, 2), (2, 7, 2, 2, 2)])
@pytest.mark.parametrize("text", PATTERNS)
def test_a_mask_keeps_n_of_every_group_and_what_the_value_says(text: str, shape: tuple[int, ...]) -> None:
    """Counted group by group in the permuted order, for convolutions at every kernel position."""
    pattern = Pattern.parse(text)
    rng = np.random.default_rng(4)
    weight = rng.normal(size=shape)
    order = rng.permutation(shape[1])
    mask = nm_mask(weight, order, pattern)
    assert mask.shape == shape
    permuted = np.moveaxis(mask[:, order], 1, -1)
    for start in range(0, shape[1], pattern.m):
        group = permuted[..., start : start + pattern.m]
        assert (group.sum(axis=-1) == min(pattern.n, group.shape[-1])).all()
    kept = np.abs(weight * mask).sum()
    assert kept == pytest.approx(Problem.from_weight(weight, pattern).value(order))


@pytest.mark.parametrize("fill", [0.0, 1.0, -2.0])
def test_ties_are_broken_by_the_order(fill: float) -> None:
    """Of equal entries, zeros too, the first in the permutation are kept: still exactly N."""
    order = np.array([5, 0, 3, 1, 4, 2])
    mask = nm_mask(np.full((2, 6), fill), order, Pattern(2, 4))
    assert mask[:, order].tolist() == [[True, True, False, False, True, True]] * 2


def test_the_mask_follows_the_saliency() -> None:
    """A function that turns the order of worth round keeps the smallest."""
    weight = np.array([[1.0, 2.0, 3.0, 4.0]])
    order = np.arange(4)
    assert nm_mask(weight, order, Pattern(1, 2)).tolist() == [[False, True, False, True]]
    assert nm_mask(weight, order, Pattern(1, 2), lambda w: 9.0 - w).tolist() == [[True, False, True, False]]


def test_masks_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same mask when it is made a few rows at a time."""
    rng = np.random.default_rng(0)
    weight: Any = rng.normal(size=(23, 10))
    order = rng.permutation(10)
    expected = nm_mask(weight, order, Pattern(2, 4))
    monkeypatch.setattr("permsolve.masks.BLOCK_ELEMENTS", 30)
    np.testing.assert_array_equal(nm_mask(weight, order, Pattern(2, 4)), expected)


def test_a_weight_of_another_width_is_refused() -> None:
    """The permutation would name columns that are not there, or leave some out."""
    with pytest.raises(InvalidProblemError, match="3 columns"):
        nm_mask(np.ones((2, 4)), np.arange(3), Pattern(2, 4))
