"""Upper bounds: valid on everything, tighter than the row bound where they say so."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from permsolve import Certificate, solve, upper_bound
from permsolve.cli import main
from permsolve.errors import InvalidOptionError, UnsupportedProblemError
from permsolve.kernels.minima import sums_of_minima
from permsolve.pair_bound import factor_bound, level_shares, pair_bound, quadratic
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from permsolve.repricing import PairRepricing
from tests.instances import KINDS, PATTERNS, matrix

ROUNDING = 1e-11


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["1:2", "1:4", "2:4", "3:5"]), st.sampled_from(KINDS), st.integers(2, 11), st.integers(0, 10**6))
def test_no_bound_is_below_the_optimum(text: str, kind: str, columns: int, seed: int) -> None:
    """Short last groups, zero and equal columns, heavy tails: every method, beside exhaustive search."""
    rng = np.random.default_rng(seed)
    problem = Problem(matrix(kind, int(rng.integers(1, 30)), columns, rng), text)
    best = solve(problem, "exhaustive").value
    for method in ("rows", "pairs", "groups", "auto"):
        bound = upper_bound(problem, method=method, time_limit=math.inf, workers=1)
        assert best * (1.0 - ROUNDING) <= bound.value <= problem.row_bound * (1.0 + ROUNDING)
        assert bound.value == bound.certificate.bound
        if bound.certificate.layers is not None:
            plain = PairRepricing(problem, bound.certificate.layers, bound.certificate.duals)
            plain.check(range(problem.columns))
            assert plain.stated() <= bound.value * (1.0 + ROUNDING)


@pytest.mark.parametrize("text", PATTERNS)
def test_the_quadratic_lies_above_what_is_kept(text: str) -> None:
    """At every count of large entries; exact for M = 2."""
    pattern = Pattern.parse(text)
    c, a, b = quadratic(pattern)
    k = np.arange(pattern.m + 1)
    above = c + a * k + b * k * (k - 1) / 2 - np.minimum(k, pattern.n)
    assert (above >= 0.0).all()
    assert b <= 0.0
    if pattern.m == 2:
        assert above.max() < 1e-9
    few, many = level_shares(pattern, (c, a, b))
    assert 0.0 <= few <= many <= 1.0


def test_sums_of_minima_against_plain_numpy() -> None:
    """More rows than a block, columns not a multiple of the tile."""
    x = np.random.default_rng(0).random((7, 600)).astype(np.float32)
    out = np.zeros((7, 7))
    sums_of_minima(x, 0, 7, out)
    expected = np.triu(np.minimum(x[:, None], x[None]).sum(axis=2, dtype=np.float64), 1)
    assert np.allclose(out, expected, rtol=1e-5)


def test_the_pairs_of_many_columns_are_mirrored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the largest numbers do not overflow."""
    problem = Problem(np.random.default_rng(0).random((200, 40)))
    whole = pair_bound(problem)
    monkeypatch.setattr("permsolve.pair_bound._MIRRORED", 7)
    parts = pair_bound(problem)
    assert parts.method == "pairs"
    assert parts.bound == whole.bound
    large = pair_bound(Problem(np.ldexp(problem.saliency, 1000)))
    assert large.bound == float(np.ldexp(whole.bound, 1000))


def test_any_prices_bound_the_pairs() -> None:
    """Whatever the prices: the pairs of a partition are worth at most that."""
    rng = np.random.default_rng(1)
    pairs = rng.random((8, 8))
    pairs += pairs.T
    np.fill_diagonal(pairs, -np.inf)
    for _ in range(20):
        bound, partners = factor_bound(pairs, rng.normal(size=8), 4)
        assert partners.shape == (8, 3)
        order = rng.permutation(8)
        value = sum(pairs[i, j] for g in (order[:4], order[4:]) for i in g for j in g if i < j)
        assert value <= bound + 1e-9


def test_pairs_beat_rows_on_many_rows_and_columns() -> None:
    """And two runs agree: nothing is random."""
    problem = Problem(np.random.default_rng(0).random((512, 128)).astype(np.float32))
    first, second = pair_bound(problem), pair_bound(problem, workers=2)
    assert first.method == "pairs"
    assert first.bound < 0.999 * problem.row_bound
    assert first.digest == second.digest
    stopped = pair_bound(problem, should_stop=lambda: True)
    assert stopped.method == "rows"


def test_groups_are_far_tighter_than_rows() -> None:
    """At this size the linear programme is within 2 % of the way from the row bound to the optimum."""
    problem = Problem(np.random.default_rng(2).random((32, 16)))
    best = solve(problem, "exhaustive").value
    bound = upper_bound(problem, method="groups", time_limit=math.inf)
    assert bound.method == "groups"
    assert bound.value - best < 0.1 * (problem.row_bound - best)
    assert bound.certificate.duals.shape == (16,)


def test_wrong_arguments() -> None:
    """Each is named; a method that cannot do it says so."""
    problem = Problem(np.ones((4, 64)), "16:32")
    with pytest.raises(InvalidOptionError, match="method"):
        upper_bound(problem, method="magic")
    with pytest.raises(InvalidOptionError, match="time_limit"):
        upper_bound(problem, time_limit=-1.0)
    uneven = Problem(np.random.default_rng(0).random((4, 64)), "16:32")
    with pytest.raises(UnsupportedProblemError, match="cannot price"):
        upper_bound(uneven, method="groups")
    assert upper_bound(uneven, time_limit=5.0).value <= uneven.row_bound


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for people; JSON with the certificate for programs."""
    weight = tmp_path / "w.npy"
    np.save(weight, np.random.default_rng(0).random((16, 12)))
    assert main(["bound", str(weight), "--time-limit", "5"]) == 0
    assert "no permutation keeps more than" in capsys.readouterr().out
    assert main(["bound", str(weight), "--method", "groups", "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert Certificate.from_dict(document["certificate"]).bound == document["value"]
    assert main(["bound", str(weight), "--json", str(tmp_path / "b.json")]) == 0
    assert json.loads((tmp_path / "b.json").read_text())["row_bound"] >= document["value"]
    assert main(["bound", str(weight), "--method", "magic"]) == 2


def test_a_bound_prints_in_one_line() -> None:
    """Without the prices that prove it."""
    text = repr(upper_bound(Problem(np.random.default_rng(0).random((8, 16)), "2:4"), method="rows"))
    assert text.startswith("Bound(value=")
    assert "certificate" not in text
