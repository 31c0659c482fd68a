"""The least sparsity that N:M takes without loss, against plain loops."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from permsolve import Result, solve
from permsolve.errors import InvalidOptionError, InvalidProblemError, UnknownSolverError
from permsolve.lossless import lossless_sparsity, prune_smallest
from permsolve.masks import nm_violations
from permsolve.pattern import Pattern
from permsolve.status import StopReason
from tests import oracle


def _drops_nothing(weight: NDArray[Any], groups: list[tuple[int, ...]], n: int) -> bool:
    return all(np.count_nonzero(row[list(group)]) <= n for row in weight for group in groups)


def _least(weight: NDArray[Any], n: int, m: int) -> float:
    """The least share of zeros, one more at a time, at which some partition drops nothing."""
    partitions = list(oracle.partitions(range(weight.shape[1]), m))
    given_zeros = int((weight == 0).sum())
    for zeros in range(given_zeros, weight.size + 1):
        pruned = prune_smallest(weight, zeros / weight.size)
        if any(_drops_nothing(pruned, groups, n) for groups in partitions):
            return zeros / weight.size
    raise AssertionError("all zeros drop nothing")


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 5),
    columns=st.sampled_from([4, 6, 7, 8]),
    pattern=st.sampled_from([(1, 2), (2, 4), (1, 4)]),
    zeros=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 10**6),
)
def test_finds_the_least(rows: int, columns: int, pattern: tuple[int, int], zeros: float, seed: int) -> None:
    """With a solver that proves optima, and to the last entry, it is the least there is, and proven to be."""
    weight = np.random.default_rng(seed).normal(size=(rows, columns)) + 0.1
    weight = prune_smallest(weight, zeros)
    study = lossless_sparsity(weight, Pattern(*pattern), solver="exhaustive", tolerance=1e-9, workers=1)
    least = _least(weight, *pattern)
    assert study.sparsity == pytest.approx(least)
    assert study.lower == pytest.approx(least)
    assert study.lower <= study.sparsity <= study.given


def test_the_permutation_does_what_it_says() -> None:
    """From its sparsity on nothing is dropped, one nonzero more and something is; and so for the given order."""
    weight = np.random.default_rng(0).normal(size=(16, 24)).astype(np.float32)
    study = lossless_sparsity(weight, "2:4", solver="greedy", time_limit=1.0)
    for sparsity, order in ((study.sparsity, study.permutation), (study.given, np.arange(24))):
        for less, broken in ((0, False), (1, True)):
            pruned = prune_smallest(weight, sparsity - less / weight.size)
            assert bool(nm_violations(pruned[:, order], Pattern(2, 4)).size) == broken
    assert study.lower <= study.sparsity < study.given
    assert list(study.trials) == sorted(study.trials, key=lambda trial: trial.sparsity)
    assert study.trials
    for trial in study.trials:
        assert not trial.lossless or trial.sparsity >= study.sparsity


def _least_with_ties(weight: NDArray[Any], n: int, m: int) -> float:
    """The least share of zeros over all partitions and all sets of smallest entries, by going through both."""
    magnitudes = np.abs(weight)
    size, best = weight.size, weight.size
    for groups in oracle.partitions(range(weight.shape[1]), m):
        for zeros in range(int((weight == 0).sum()), best):
            last = np.sort(magnitudes, axis=None)[zeros - 1] if zeros else -1.0
            certain = magnitudes < last
            choices = np.argwhere(magnitudes == last)
            for chosen in itertools.combinations(choices.tolist(), zeros - int(certain.sum())):
                pruned = np.where(certain, 0.0, weight)
                for row, column in chosen:
                    pruned[row, column] = 0.0
                if _drops_nothing(pruned, groups, n):
                    best = zeros
                    break
            if best == zeros:
                break
    return best / size


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 3),
    columns=st.sampled_from([4, 5, 6]),
    pattern=st.sampled_from([(1, 2), (2, 4), (1, 4), (2, 3)]),
    levels=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
def test_of_equal_entries_the_best_become_zero(
    rows: int, columns: int, pattern: tuple[int, int], levels: int, seed: int
) -> None:
    """Ternary and other coarse weights: what is found is the least over every choice, and so is what is proven."""
    weight = np.random.default_rng(seed).integers(-levels, levels + 1, (rows, columns)).astype(float)
    parsed = Pattern(*pattern)
    study = lossless_sparsity(weight, parsed, solver="exhaustive", tolerance=1e-9, workers=1)
    least = _least_with_ties(weight, *pattern)
    assert study.lower == pytest.approx(least)
    assert study.sparsity == pytest.approx(least)
    pruned = study.prune(weight)
    assert (pruned == 0).mean() == pytest.approx(study.sparsity)
    assert np.abs(pruned[pruned != 0]).min(initial=np.inf) >= np.abs(weight[pruned == 0]).max(initial=0.0)
    assert nm_violations(pruned[:, study.permutation], parsed).size == 0


def test_a_weak_search_proves_nothing_that_is_false() -> None:
    """On a ternary matrix that is too large for a proof the two stay on their sides of what `prune` reaches."""
    weight = np.sign(np.round(0.9 * np.random.default_rng(0).normal(size=(16, 24))))
    studies = [lossless_sparsity(weight, "2:4", solver=name, workers=1) for name in ("identity", "greedy")]
    reached = min((study.prune(weight) == 0).mean() for study in studies)
    assert all(study.lower <= reached <= study.sparsity for study in studies)
    assert all(trial.kept <= 1.0 for study in studies for trial in study.trials)


def test_convolutions_and_other_weights_can_be_pruned() -> None:
    """In their own shape and type; another width is refused."""
    weight = np.random.default_rng(0).integers(-2, 3, (4, 8, 3, 3)).astype(np.int8)
    study = lossless_sparsity(weight, "2:4", solver="greedy")
    pruned = study.prune(weight)
    assert (pruned.shape, pruned.dtype) == (weight.shape, weight.dtype)
    assert nm_violations(pruned[:, study.permutation], Pattern(2, 4)).size == 0
    assert (pruned == 0).mean() == pytest.approx(study.sparsity)
    with pytest.raises(InvalidProblemError, match="orders 8 columns"):
        study.prune(weight[:, :4])


def test_too_little_memory_for_another_search_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the first has found; when the first has none there is nothing to tell."""
    weight, calls = np.random.default_rng(0).random((16, 32)), []

    def second_is_too_much(*args: Any, **kwargs: Any) -> Result:
        calls.append(args)
        if len(calls) == 2:
            raise MemoryError
        return solve(*args, **kwargs)

    monkeypatch.setattr("permsolve.lossless.solve", second_is_too_much)
    study = lossless_sparsity(weight, solver="greedy", tolerance=1e-9)
    assert len(study.trials) == 1
    calls.append(())
    calls.pop(0)
    calls.pop(0)
    with pytest.raises(MemoryError):
        lossless_sparsity(weight, solver="greedy", tolerance=1e-9)


def test_edges() -> None:
    """Nothing to do: all zeros, N:M already, fewer columns than N."""
    assert lossless_sparsity(np.zeros((3, 8))).sparsity == 1.0
    already = np.tile([[1.0, 2.0, 0.0, 0.0]], (3, 2))
    study = lossless_sparsity(already)
    assert (study.sparsity, study.lower, study.trials) == (0.5, 0.5, ())
    assert lossless_sparsity(np.ones((3, 2)), "2:4").sparsity == 0.0


def test_prune_smallest() -> None:
    """By magnitude over the whole, the first of equal ones first; the weight stays as it is; any shape."""
    weight = np.array([[3.0, -1.0], [1.0, -2.0]])
    np.testing.assert_array_equal(prune_smallest(weight, 0.25), [[3.0, 0.0], [1.0, -2.0]])
    np.testing.assert_array_equal(prune_smallest(weight, 0.75), [[3.0, 0.0], [0.0, 0.0]])
    assert np.count_nonzero(weight) == 4
    transposed = np.asfortranarray(np.random.default_rng(0).normal(size=(4, 6)))
    np.testing.assert_array_equal(prune_smallest(transposed, 0.5), prune_smallest(transposed.copy("C"), 0.5))
    convolution = np.random.default_rng(0).normal(size=(4, 8, 3, 3))
    assert (prune_smallest(convolution, 0.5) == 0).sum() == convolution.size // 2


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, float("nan"), "half"])
def test_wrong_sparsities(sparsity: Any) -> None:
    """One clear error."""
    with pytest.raises(InvalidOptionError, match="share from 0 to 1"):
        prune_smallest(np.ones((2, 2)), sparsity)


def test_wrong_arguments() -> None:
    """The tolerance, the solver, a weight that is not finite."""
    with pytest.raises(InvalidOptionError, match="tolerance"):
        lossless_sparsity(np.ones((2, 8)), tolerance=0.0)
    with pytest.raises(UnknownSolverError):
        lossless_sparsity(np.arange(16.0).reshape(2, 8), solver="none")


def test_the_least_integer_is_the_largest_magnitude() -> None:
    """It has no positive counterpart of its own type."""
    weight = np.array([[-128, 5, 7, 9]], np.int8)
    assert prune_smallest(weight, 0.25).tolist() == [[-128, 0, 7, 9]]


@pytest.mark.parametrize("entry", [np.nan, np.inf])
def test_what_is_not_finite_has_no_rank(entry: float) -> None:
    """And is named."""
    weight = np.ones((2, 8))
    weight[1, 3] = entry
    for call in (lambda: prune_smallest(weight, 0.5), lambda: lossless_sparsity(weight)):
        with pytest.raises(InvalidProblemError, match=rf"finite: entry \(1, 3\) is {entry}"):
            call()


def test_an_interruption_ends_all_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the first has found."""

    def interrupted(*args: Any, **kwargs: Any) -> Result:
        return dataclasses.replace(solve(*args, **kwargs), stop_reason=StopReason.INTERRUPTED)

    monkeypatch.setattr("permsolve.lossless.solve", interrupted)
    weight = np.random.default_rng(0).random((16, 32))
    study = lossless_sparsity(weight, solver="greedy", tolerance=1e-9)
    assert study.interrupted
    assert len(study.trials) == 1
    assert study.to_dict()["interrupted"] is True
    assert nm_violations(prune_smallest(weight, study.sparsity)[:, study.permutation], Pattern(2, 4)).size == 0
