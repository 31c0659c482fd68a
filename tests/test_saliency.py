"""Saliencies by name and as functions."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from permsolve import saliency as module
from permsolve.errors import UnknownSaliencyError
from permsolve.problem import Problem
from permsolve.saliency import SaliencyFunction, available_saliencies, get_saliency, register_saliency

WEIGHT = np.array([[-3.0, 2.0, -1.0, 0.5], [0.0, -4.0, 1.0, 2.0]])


def rank(weight: NDArray[Any]) -> NDArray[Any]:
    """A saliency that looks at whole rows: position in the order of magnitudes."""
    ranks: NDArray[np.int64] = np.argsort(np.argsort(np.abs(weight), axis=1), axis=1)
    return ranks


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a test registers."""
    monkeypatch.setattr(module, "_REGISTRY", dict(module._REGISTRY))


def test_the_named_ones_are_what_they_say() -> None:
    """Magnitude is the absolute value, squared its square."""
    assert available_saliencies() == ("magnitude", "squared")
    np.testing.assert_array_equal(Problem.from_weight(WEIGHT).saliency, np.abs(WEIGHT))
    np.testing.assert_array_equal(Problem.from_weight(WEIGHT, saliency="squared").saliency, WEIGHT**2)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_of_float32_neither_vanish_nor_overflow(scale: float) -> None:
    """They are computed in float64."""
    weight = np.array([[1.0, 2.0]], np.float32) * np.float32(scale)
    squares = Problem.from_weight(weight, "1:2", "squared").saliency
    np.testing.assert_allclose(squares, [[scale**2, 4 * scale**2]], rtol=1e-6)


def test_a_function_sees_the_whole_matrix() -> None:
    """A convolution weight too is given as one matrix (rows, columns), and its scores are used as they are."""
    shapes = []

    def spy(weight: NDArray[Any]) -> NDArray[Any]:
        shapes.append(weight.shape)
        return rank(weight)

    weight = np.random.default_rng(0).normal(size=(6, 4, 3, 3))
    problem = Problem.from_weight(weight, "2:4", spy)
    assert shapes == [(54, 4)]
    assert sorted(problem.saliency[0].tolist()) == [0, 1, 2, 3]


def test_a_function_may_write_into_what_it_gets() -> None:
    """It gets a copy: the caller's weight stays as it was."""
    weight = WEIGHT.astype(np.float32)

    def in_place(block: NDArray[Any]) -> NDArray[Any]:
        np.abs(block, out=block)
        return block

    Problem.from_weight(weight, "2:4", in_place)
    np.testing.assert_array_equal(weight, WEIGHT)


@pytest.mark.usefixtures("registry")
def test_a_registered_function_is_found_by_its_name() -> None:
    """From then on it is as good as a built-in one."""
    register_saliency("rank", rank)
    assert "rank" in available_saliencies()
    np.testing.assert_array_equal(Problem.from_weight(WEIGHT, saliency="rank").saliency, rank(WEIGHT))


@pytest.mark.usefixtures("registry")
def test_a_name_is_taken_once() -> None:
    """Registering the same function again is harmless, another one under its name is an error."""
    register_saliency("rank", rank)
    register_saliency("rank", rank)
    with pytest.raises(ValueError, match="'magnitude' is registered already"):
        register_saliency("magnitude", rank)
    assert get_saliency("rank").function is rank


@pytest.mark.parametrize("name", ["hessian", "", None, 3, ["magnitude"]])
def test_an_unknown_name_lists_the_known_ones(name: str | SaliencyFunction) -> None:
    """The message says what could be given instead."""
    with pytest.raises(UnknownSaliencyError, match="magnitude, squared, or give a function"):
        Problem.from_weight(WEIGHT, saliency=name)
