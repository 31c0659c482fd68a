"""Fitting kept weights: against least squares by numpy, row by row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from permsolve.errors import InvalidProblemError
from permsolve.reconstruction import fit, fit_masked, output_error, refit, sweep

Layer = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]


def layer(seed: int, outputs: int = 6, width: int = 20, samples: int = 200) -> Layer:
    """A weight, a mask with two of every four, correlated inputs, and their second moments."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((samples, width)) @ rng.standard_normal((width, width))
    mask = rng.permuted(np.tile(np.array([True, True, False, False]), (outputs, width // 4, 1)), axis=2)
    return rng.standard_normal((outputs, width)), mask.reshape(outputs, width), inputs, inputs.T @ inputs / samples


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_refit_is_masked_least_squares(seed: int) -> None:
    """Equal to what numpy finds from the samples themselves, to 1e-6."""
    weight, mask, inputs, moment = layer(seed)
    fitted = refit(weight, mask, moment)
    for row, kept in enumerate(mask):
        expected, *_ = np.linalg.lstsq(inputs[:, kept], inputs @ weight[row], rcond=None)
        np.testing.assert_allclose(fitted[row, kept], expected, rtol=1e-6, atol=1e-6)
        assert not fitted[row, ~kept].any()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_sweep_keeps_the_mask_and_is_no_better_than_the_optimum(seed: int) -> None:
    """Two blocks wide."""
    weight, mask, _, moment = layer(seed, outputs=3, width=160, samples=500)
    swept = sweep(weight, mask, moment)
    assert not swept[~mask].any()
    best = output_error(weight, refit(weight, mask, moment), moment)
    assert (output_error(weight, swept, moment) >= best * (1 - 1e-6)).all()


def test_sweep_makes_up_for_what_is_dropped() -> None:
    """Independent rows of well-conditioned inputs: clearly better than leaving weights as they are."""
    weight, mask, _, moment = layer(7, outputs=40, width=160, samples=2000)
    moment = moment + np.trace(moment) / 160 * np.eye(160)
    error = output_error(weight, sweep(weight, mask, moment), moment).sum()
    assert error < 0.95 * output_error(weight, weight * mask, moment).sum()


def test_sweep_is_that_of_the_paper() -> None:
    """One input after the other, each time with the inverse of what is left (Frantar & Alistarh, equation 3)."""
    weight, mask, _, moment = layer(3, width=12)
    expected = weight.copy()
    for place in range(12):
        inverse = np.linalg.inv(moment[place:, place:])
        error = np.where(mask[:, place], 0.0, expected[:, place]) / inverse[0, 0]
        expected[:, place:] -= np.outer(error, inverse[0])
    np.testing.assert_allclose(sweep(weight, mask, moment), expected, atol=1e-9)


def test_output_error_is_that_of_the_samples() -> None:
    """Mean square of what the outputs differ by."""
    weight, mask, inputs, moment = layer(1)
    difference = inputs @ (weight - weight * mask).T
    np.testing.assert_allclose(output_error(weight, weight * mask, moment), np.square(difference).mean(axis=0))


def test_rows_that_keep_all_or_nothing() -> None:
    """Nothing is lost, or all of it."""
    weight, _, _, moment = layer(2, outputs=2)
    mask = np.stack([np.ones(20, np.bool_), np.zeros(20, np.bool_)])
    for fitted in (refit(weight, mask, moment), sweep(weight, mask, moment)):
        np.testing.assert_allclose(fitted[0], weight[0])
        assert not fitted[1].any()


def test_size_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Least squares where affordable, else the sweep."""
    weight, mask, _, moment = layer(4)
    np.testing.assert_array_equal(fit_masked(weight, mask, moment), refit(weight, mask, moment))
    monkeypatch.setattr(fit, "EXACT_WORK", 10.0)
    np.testing.assert_array_equal(fit_masked(weight, mask, moment), sweep(weight, mask, moment))


@pytest.mark.parametrize("method", [refit, sweep])
def test_bad_input(method: object) -> None:
    """Shapes that do not fit, and second moments without an inverse."""
    assert callable(method)
    weight, mask, _, moment = layer(5)
    with pytest.raises(InvalidProblemError, match="got shapes"):
        method(weight, mask[:, 1:], moment)
    with pytest.raises(InvalidProblemError, match="not positive definite"):
        method(weight, mask, np.zeros_like(moment))
