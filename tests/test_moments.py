"""What is known about a layer's inputs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from permsolve.errors import InvalidOptionError, InvalidProblemError
from permsolve.moments import InputMoments


def samples(groups: int = 2, features: int = 6, count: int = 40, seed: int = 0) -> np.ndarray[Any, Any]:
    """Correlated inputs."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, groups, features)) @ rng.normal(size=(features, features))


def test_moments_are_means_of_products() -> None:
    """Of all pairs of features of a group, one sample after the other."""
    x = samples()
    moments = InputMoments.from_samples(x)
    expected = sum(np.einsum("gi,gj->gij", one, one) for one in x) / len(x)
    assert moments.second_moment is not None
    np.testing.assert_allclose(moments.second_moment, expected)
    np.testing.assert_allclose(moments.mean_square, (x**2).mean(axis=0))
    assert (moments.groups, moments.features, moments.samples) == (2, 6, 40)
    np.testing.assert_array_equal(moments.group(1).mean_square, moments.mean_square[1:])
    assert InputMoments.from_samples(x[:, 0]).group(0).groups == 1


@pytest.mark.parametrize("damping", [0.0, 0.01, 1.0])
def test_the_diagonal_of_the_inverse(damping: float) -> None:
    """As the inverse itself has it; computed once."""
    moments = InputMoments.from_samples(samples())
    assert moments.second_moment is not None
    expected = [
        np.diagonal(np.linalg.inv(one + damping * np.trace(one) / 6 * np.eye(6))) for one in moments.second_moment
    ]
    np.testing.assert_allclose(moments.inverse_diagonal(damping), expected)
    assert moments.inverse_diagonal(damping) is moments.inverse_diagonal(damping)


def test_inputs_that_are_always_zero_cost_nothing() -> None:
    """Their entries are infinite, and the others are as if they were not there."""
    x = samples(groups=1)[:, 0]
    x[:, 2] = 0.0
    found = InputMoments.from_samples(x).inverse_diagonal()[0]
    assert found[2] == np.inf
    rest = InputMoments.from_samples(np.delete(x, 2, axis=1)).inverse_diagonal()[0]
    np.testing.assert_allclose(np.delete(found, 2), rest)
    assert (InputMoments.from_samples(np.zeros((3, 4))).inverse_diagonal() == np.inf).all()


@given(st.integers(1, 3), st.permutations(range(4)), st.integers(1, 3), st.booleans(), st.data())
def test_permuting_is_as_permuting_the_inputs(
    groups: int, order: list[int], kernel: int, full: bool, data: st.DataObject
) -> None:
    """Whole channels with all places of the kernel, in all groups or in some; the inverse follows."""
    x = samples(groups, 4 * kernel)
    moments = InputMoments.from_samples(x)
    moments.inverse_diagonal()
    if not full:
        moments = InputMoments(moments.mean_square)
    chosen = data.draw(st.none() | st.lists(st.integers(0, groups - 1), unique=True))
    y = x.reshape(len(x), groups, 4, kernel).copy()
    for group in range(groups) if chosen is None else chosen:
        y[:, group] = y[:, group][:, order]
    expected = InputMoments.from_samples(y.reshape(x.shape))
    found = moments.permuted(order, kernel, chosen)
    np.testing.assert_allclose(found.mean_square, expected.mean_square)
    if found.second_moment is not None and expected.second_moment is not None:
        assert found._inverses
        np.testing.assert_allclose(found.second_moment, expected.second_moment)
        np.testing.assert_allclose(found.inverse_diagonal(), expected.inverse_diagonal(), rtol=1e-6)


def test_permuting_copies_no_second_moments() -> None:
    """They are put in order when they are asked for, however often they were re-ordered."""
    rng, x = np.random.default_rng(1), samples()
    moments = InputMoments.from_samples(x)
    one, other = rng.permutation(6), rng.permutation(6)
    found = moments.permuted(one).permuted(other, groups=[1])
    assert moments.second_moment is not None
    assert found._second is moments.second_moment
    y = x[:, :, one].copy()
    y[:, 1] = y[:, 1][:, other]
    expected = InputMoments.from_samples(y)
    assert found.second_moment is not None
    assert expected.second_moment is not None
    np.testing.assert_allclose(found.second_moment, expected.second_moment)
    np.testing.assert_allclose(found.group(1).damped(), expected.damped(1))
    np.testing.assert_allclose(found.regrouped([1, 0]).second_moment_of(0), expected.second_moment[1])


def test_rows_of_a_weight_read_their_groups() -> None:
    """Whole groups, or rows within one."""
    moments = InputMoments.from_samples(samples(groups=3))
    np.testing.assert_array_equal(moments.of_rows((4, 8), 12).mean_square, moments.mean_square[1:2])
    np.testing.assert_array_equal(moments.of_rows((5, 7), 12).mean_square, moments.mean_square[1:2])
    np.testing.assert_array_equal(moments.of_rows((4, 12), 12).mean_square, moments.mean_square[1:])
    assert moments.of_rows((0, 12), 12) is moments
    with pytest.raises(InvalidProblemError, match=r"\(3, 12\) are no whole groups"):
        moments.of_rows((3, 12), 12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, np.nan],), "finite"),
        (([1.0, -1.0],), ">= 0"),
        ((np.ones((2, 2, 2)),), r"shape \(features,\)"),
        (([],), "shape"),
        (([1.0, 1.0], np.ones((3, 3))), "1 groups of 2 features"),
        (([1.0, 1.0], [[1.0, 0.5], [0.2, 1.0]]), "symmetric"),
        (([1.0, 2.0], np.eye(2)), "diagonal"),
        (([1.0, 1.0], [[1.0, np.inf], [np.inf, 1.0]]), "finite"),
        (([1.0], None, -1), "samples"),
    ],
)
def test_what_cannot_be_moments_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    """Each fault by its name."""
    with pytest.raises(InvalidProblemError, match=message):
        InputMoments(*arguments)


def test_what_is_not_known_is_refused() -> None:
    """Mean squares alone have no inverse, and a matrix of rank one none without damping."""
    with pytest.raises(InvalidOptionError, match="moments='full'"):
        InputMoments(np.ones(2)).inverse_diagonal()
    with pytest.raises(InvalidOptionError, match="larger damping"):
        InputMoments.from_second_moment(np.ones((2, 2))).inverse_diagonal(0.0)
    with pytest.raises(InvalidProblemError, match="does not fit 2 features"):
        InputMoments(np.ones(2)).permuted([0, 1, 2])


def test_groups_move_as_a_whole() -> None:
    """With all that is known of them."""
    x = samples(groups=3)
    moments = InputMoments.from_samples(x)
    moments.inverse_diagonal()
    moved, expected = moments.regrouped([2, 0, 1]), InputMoments.from_samples(x[:, [2, 0, 1]])
    np.testing.assert_allclose(moved.mean_square, expected.mean_square)
    np.testing.assert_allclose(moved.inverse_diagonal(), expected.inverse_diagonal())
