"""Saliencies by name and as functions."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from permsolve.errors import InvalidOptionError, InvalidProblemError, UnknownSaliencyError
from permsolve.masks import kept_value, nm_mask
from permsolve.moments import InputMoments
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from permsolve.saliency import SaliencyFunction, available_saliencies, get_saliency, register_saliency
from permsolve.saliency import registry as module
from permsolve.weights import BLOCK_ELEMENTS

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
    assert available_saliencies() == ("magnitude", "obd", "obs", "ria", "squared", "wanda")
    np.testing.assert_array_equal(Problem.from_weight(WEIGHT).saliency, np.abs(WEIGHT))
    np.testing.assert_array_equal(Problem.from_weight(WEIGHT, saliency="squared").saliency, WEIGHT**2)


def test_a_problem_knows_the_name_that_it_was_scored_by() -> None:
    """Not that of a function of the caller's own, whatever it is called; scores that are given have none."""

    def squared(weight: NDArray[Any]) -> NDArray[Any]:
        return rank(weight)

    assert Problem.from_weight(WEIGHT).saliency_name == "magnitude"
    assert Problem.from_weight(WEIGHT, saliency=get_saliency("squared")).saliency_name == "squared"
    assert Problem.from_weight(WEIGHT, saliency=squared).saliency_name is None
    assert Problem(np.abs(WEIGHT)).saliency_name is None


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


@pytest.mark.usefixtures("registry")
def test_what_is_no_saliency_is_not_registered() -> None:
    """And the others can be listed afterwards."""
    wrong: Any = 3
    with pytest.raises(InvalidOptionError, match="saliency 'mine' must be a function, got 3"):
        register_saliency("mine", wrong)
    with pytest.raises(InvalidOptionError, match="name of a saliency must be text, got 3"):
        register_saliency(wrong, rank)
    with pytest.raises(InvalidOptionError, match="needs must be None, 'mean_square' or 'second_moment', got 3"):
        register_saliency("mine", rank, needs=wrong)
    assert "mine" not in available_saliencies()


@pytest.mark.parametrize("name", ["hessian", "", None, 3, ["magnitude"]])
def test_an_unknown_name_lists_the_known_ones(name: str | SaliencyFunction) -> None:
    """The message says what could be given instead."""
    with pytest.raises(UnknownSaliencyError, match=r"magnitude, .*squared, wanda, or give a function"):
        Problem.from_weight(WEIGHT, saliency=name)


CALIBRATED = ("obd", "obs", "ria", "wanda")


def naive(name: str, w: NDArray[Any], x: NDArray[Any], i: int, j: int) -> float:
    """Score of one entry of the flat weight of one group, from its formula."""
    n = len(x)
    h: NDArray[Any] = np.sum([np.outer(one, one) for one in x], axis=0) / n
    norm = np.sqrt(h[j, j])
    if name == "wanda":
        return float(abs(w[i, j]) * norm)
    if name == "ria":
        share = abs(w[i, j]) / sum(abs(w[i, :])) + abs(w[i, j]) / sum(abs(w[:, j]))
        return float(share * norm**0.5)
    if name == "obd":
        return float(w[i, j] ** 2 * h[j, j])
    damped = h + 0.01 * np.mean(np.diag(h)) * np.eye(len(h))
    return float(w[i, j] ** 2 / np.linalg.inv(damped)[j, j])


@pytest.mark.parametrize("name", CALIBRATED)
@pytest.mark.parametrize("shape", [(6, 8), (6, 4, 3), (6, 4, 2, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_calibrated_score_is_its_formula(name: str, shape: tuple[int, ...], groups: int) -> None:
    """Entry by entry, for linear layers and convolutions, each group with inputs of its own."""
    rng = np.random.default_rng(5)
    weight = rng.normal(size=shape)
    features, each = int(np.prod(shape[1:])), shape[0] // groups
    x = rng.normal(size=(30, groups, features)) @ rng.normal(size=(features, features))
    flat = weight.reshape(shape[0], features)
    expected = np.array(
        [
            [
                naive(name, flat[o // each * each : (o // each + 1) * each], x[:, o // each], o % each, j)
                for j in range(features)
            ]
            for o in range(shape[0])
        ]
    ).reshape(shape)
    moments = InputMoments.from_samples(x)
    problem = Problem.from_weight(weight, "2:4", name, moments)
    np.testing.assert_allclose(problem.saliency, np.moveaxis(expected, 1, -1).reshape(-1, shape[1]), rtol=1e-9)
    mask = nm_mask(weight, np.arange(shape[1]), Pattern(2, 4), name, moments)
    assert kept_value(weight, "2:4", name, moments) == pytest.approx(expected[mask].sum())


@pytest.mark.parametrize("name", CALIBRATED)
def test_dead_inputs_and_dead_weights_score_zero(name: str) -> None:
    """And all others are finite."""
    rng = np.random.default_rng(6)
    x, weight = rng.normal(size=(20, 8)), rng.normal(size=(4, 8)).astype(np.float32)
    x[:, 3] = 0.0
    weight[2], weight[:, 5] = 0.0, 0.0
    scores = Problem.from_weight(weight, "2:4", name, InputMoments.from_samples(x)).saliency
    assert not scores[:, 3].any()
    assert not scores[2].any()
    assert np.isfinite(scores).all()
    nothing = Problem.from_weight(weight, "2:4", name, InputMoments.from_samples(np.zeros((3, 8))))
    assert nothing.total == 0.0


@pytest.mark.parametrize("name", CALIBRATED)
def test_large_weights_are_scored_as_small_ones(name: str) -> None:
    """Where blocks of rows end does not show."""
    rows, columns = BLOCK_ELEMENTS // 1000 + 3, 1000
    weight = np.random.default_rng(7).normal(size=(rows, columns)).astype(np.float32)
    moments = InputMoments.from_second_moment(np.diag(np.linspace(0.5, 2.0, columns)))
    whole = get_saliency(name).function(weight.copy(), moments)
    np.testing.assert_array_equal(Problem.from_weight(weight, "2:4", name, moments).saliency, whole)


@pytest.mark.parametrize("name", CALIBRATED)
def test_without_its_inputs_a_calibrated_saliency_says_what_to_give(name: str) -> None:
    """One sentence, with the remedy."""
    with pytest.raises(InvalidOptionError, match=f"{name!r} needs moments .* inputs=.*calibration=.*--inputs"):
        Problem.from_weight(WEIGHT, saliency=name)
    with pytest.raises(InvalidProblemError, match=r"1 x 3 inputs do not fit .*\(2, 4\)"):
        Problem.from_weight(WEIGHT, saliency=name, inputs=InputMoments.from_samples(np.eye(3)))


def test_obs_needs_more_than_mean_squares() -> None:
    """It says so."""
    with pytest.raises(InvalidOptionError, match="moments='full'"):
        Problem.from_weight(WEIGHT, saliency="obs", inputs=InputMoments(np.ones(4)))
