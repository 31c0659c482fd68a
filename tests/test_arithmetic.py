"""The host's settings of numpy change no result, and are as they were afterwards."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from permsolve import Problem, solve, upper_bound, verify
from permsolve.masks import kept_value, nm_mask
from permsolve.moments import InputMoments
from permsolve.pattern import Pattern
from permsolve.stopping import MaxIterations

# What underflows on the way, in each type, and what overflows a product of two.
SCALES = [("float64", 1e-300), ("float64", 1e-310), ("float32", 1e-40), ("float16", 1e-7), ("float64", 1e150)]


@pytest.fixture
def strict() -> Iterator[None]:
    """A host that raises on every remark, of numpy and of Python."""
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        before = np.geterr()
        yield
        assert np.geterr() == before


def _weight(dtype: str, scale: float) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        return (np.random.default_rng(0).normal(size=(32, 24)) * scale).astype(dtype)


def _answers(weight: NDArray[Any], saliency: str, solver: str) -> list[float]:
    moments = InputMoments.from_samples(np.random.default_rng(1).normal(size=(64, 24)) * 1e-150)
    problem = Problem.from_weight(weight, "2:4", saliency, moments)
    result = solve(problem, solver, stop=MaxIterations(40), workers=2)
    verify(problem, result)
    return [result.value, problem.row_bound, result.efficacy, float(result.mask(weight, saliency, moments).sum())]


@pytest.mark.parametrize(("dtype", "scale"), SCALES)
@pytest.mark.parametrize("saliency", ["squared", "wanda"])
@pytest.mark.parametrize("solver", ["greedy", "column-generation"])
def test_the_same_results(strict: None, dtype: str, scale: float, saliency: str, solver: str) -> None:
    """As under numpy's own settings."""
    weight = _weight(dtype, scale)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted = _answers(weight, saliency, solver)
        except ValueError as error:  # refused by name, and so it must be here
            with np.errstate(all="raise"), pytest.raises(type(error)):
                _answers(weight, saliency, solver)
            return
    assert _answers(weight, saliency, solver) == wanted


def test_bounds_and_masks(strict: None) -> None:
    """What is public besides solving."""
    weight = _weight("float64", 1e-305)
    problem = Problem.from_weight(weight, "2:4", "squared")
    assert upper_bound(problem, method="pairs", time_limit=5.0).value >= problem.baseline
    assert nm_mask(weight, np.arange(24), Pattern(2, 4), "squared").sum() == weight.size // 2
    assert kept_value(np.abs(weight), "2:4") > 0.0
