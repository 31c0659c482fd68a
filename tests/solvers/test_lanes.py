"""Passes over rows by vectors, against numpy."""

from typing import Any

import numpy as np
import pytest
from numba import njit

from permsolve_solvers.moves._lanes import FARTHER, STEP, relax, two_best


@njit
def best(gain: Any, i: int, price: Any) -> Any:
    """The intrinsic, called."""
    return two_best(gain, i, price)


@njit
def relaxed(gain: Any, i: int, price: Any, shift: Any, distance: Any, previous: Any) -> Any:
    """The intrinsic, called."""
    return relax(gain, i, price, shift, distance, previous)


def drawn(rng: np.random.Generator, *shape: int) -> Any:
    """Standard normal entries."""
    return rng.standard_normal(shape, np.float32)


@pytest.mark.parametrize("width", [STEP, 2 * STEP, 9 * STEP])
def test_two_best(width: int) -> None:
    """Wherever they stand, next to each other or not; equal ones count twice."""
    rng = np.random.default_rng(width)
    for _ in range(50):
        gain, price = drawn(rng, 3, width), drawn(rng, width)
        profit = gain[1] - price
        assert best(gain, 1, price) == (profit.max(), profit.argmax(), np.sort(profit)[-2])
    gain[1] = price
    gain[1, [width // 2, width - 1]] += 1
    value, place, second = best(gain, 1, price)
    assert value == pytest.approx(1.0, abs=1e-5)
    assert second == pytest.approx(1.0, abs=1e-5)
    assert place in (width // 2, width - 1)


@pytest.mark.parametrize("width", [STEP, 2 * STEP, 9 * STEP])
def test_relax(width: int) -> None:
    """Shorter ways are taken and remembered; closed columns stay and are no answer."""
    rng = np.random.default_rng(width)
    for _ in range(50):
        gain, price, distance = drawn(rng, 3, width), drawn(rng, width), drawn(rng, width)
        closed = rng.random(width) < 0.3
        distance[closed] = -FARTHER
        previous = np.full(width, 7, np.int32)
        way = price - gain[2] - np.float32(0.25)
        shorter = way < distance
        expected = np.where(shorter, way, distance)
        least, place = relaxed(gain, 2, price, np.float32(0.25), distance, previous)
        np.testing.assert_array_equal(distance, expected)
        np.testing.assert_array_equal(previous, np.where(shorter, 2, 7))
        assert least == expected[~closed].min()
        assert distance[place] == least
        assert not closed[place]
