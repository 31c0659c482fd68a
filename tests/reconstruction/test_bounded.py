"""Fitted values that their type can hold."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from permsolve.reconstruction import fit_bounded, fit_masked, output_error


@pytest.mark.parametrize("seed", range(5))
def test_values_within_a_limit(seed: int) -> None:
    """Rows that need none are fitted as ever; the others are no worse than left alone, and nearly as good as can be."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((200, 12)) @ rng.standard_normal((12, 12))
    moment = x.T @ x / len(x) + 0.01 * np.eye(12)
    weight, mask = rng.standard_normal((20, 12)), rng.random((20, 12)) < 0.5
    free, limit = fit_masked(weight, mask, moment), float(np.abs(weight).max())
    fitted = fit_bounded(weight, mask, moment, limit)
    assert np.abs(fitted).max() <= limit
    assert not fitted[~mask].any()
    fits = (np.abs(free) <= limit).all(axis=1)
    assert 0 < fits.sum() < 20
    np.testing.assert_array_equal(fitted[fits], free[fits])
    error = output_error(weight, fitted, moment)
    assert (error <= output_error(weight, weight * mask, moment) + 1e-12).all()
    factor = np.linalg.cholesky(moment).T
    for row in np.flatnonzero(~fits):
        best = lsq_linear(factor[:, mask[row]], factor @ weight[row], (-limit, limit))
        assert error[row] <= 1.2 * 2.0 * best.cost + 1e-9


def test_all_values_beyond_it() -> None:
    """Copies of one input: two weights that would have to be twice as large."""
    weight, mask = np.full((1, 4), 5.0), np.array([[True, True, False, False]])
    moment = np.ones((4, 4)) + 1e-3 * np.eye(4)
    np.testing.assert_array_equal(fit_bounded(weight, mask, moment, 6.0), [[6.0, 6.0, 0.0, 0.0]])
