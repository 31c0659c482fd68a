"""verify: what is right passes, and nothing that was changed does."""

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from permsolve import Result, solve, upper_bound, verify
from permsolve.certificate import Certificate, Node
from permsolve.errors import InvalidCertificateError
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from permsolve.status import Status
from permsolve.stopping import MaxIterations
from tests.instances import KINDS, PATTERNS, matrix

SOLVERS = ("column-generation", "cp-sat", "exhaustive", "matching", "local-search", "identity")


@lru_cache
def proven() -> tuple[Problem, Result]:
    """A problem whose proof needs a tree of nodes."""
    problem = Problem(np.random.default_rng(1).random((16, 24)))
    result = solve(problem, "column-generation", time_limit=math.inf)
    assert result.status is Status.OPTIMAL
    assert result.certificate().method == "branching"
    assert len(result.certificate().nodes) > 2
    return problem, result


def with_proof(result: Result, **changes: Any) -> Result:
    """The result with another certificate, whose digest is made anew: only the mathematics can tell."""
    return replace(result, proof=replace(result.certificate(), digest="", **changes))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("text", ["1:2", "1:4", "2:4", "3:5"])
def test_honest_results_pass(solver: str, text: str) -> None:
    """Proven or not; those that leave a proof are checked as a whole."""
    for kind in KINDS:
        problem = Problem(matrix(kind, 10, 11, np.random.default_rng(3)), text)
        result = solve(problem, solver, time_limit=0.3)
        report = verify(problem, result)
        assert report.checked[:2] == ("permutation", "value")
        if result.certificate().method not in ("solver", "rows"):
            assert report.complete
            assert report.bound <= result.bound * (1 + 1e-9)


@pytest.mark.parametrize("text", PATTERNS)
def test_a_bound_over_pairs_is_recomputed(text: str) -> None:
    """The certificate of upper_bound, put into a result."""
    problem = Problem(matrix("uniform", 300, 32, np.random.default_rng(5)), text)
    bound = upper_bound(problem, method="pairs")
    result = solve(problem, "identity")
    assert verify(problem, replace(result, bound=bound.value, proof=bound.certificate)).complete


def corrupted(result: Result, kind: str, rng: np.random.Generator) -> Result:
    """The result with one thing changed at random, and the digest of its certificate made anew."""
    proof = result.certificate()
    nodes = list(proof.nodes)
    priced = [number for number, node in enumerate(nodes) if node.duals.size]
    where = int(rng.choice(priced))
    node = nodes[where]
    if kind == "price":
        duals = node.duals.copy()
        duals[rng.integers(duals.size)] += rng.choice([-1, 1]) * 10.0 ** rng.uniform(-9, 2)
        nodes[where] = replace(node, duals=duals)
    elif kind == "price and bound":  # consistent in itself: only the groups, all of them at the root, can tell
        duals = nodes[0].duals.copy()
        duals[rng.integers(duals.size)] -= 10.0 ** rng.uniform(-6, 2)
        nodes[0] = replace(nodes[0], duals=duals).stating(nodes[0].excess, 6)
    elif kind == "lower excess":
        nodes[where] = node.stating(node.excess - 10.0 ** rng.uniform(-6, 0), 6)
    elif kind == "node dropped":
        del nodes[rng.choice([number for number, other in enumerate(nodes) if other.children != 1])]
    elif kind == "branch altered":
        where = int(rng.choice([number for number, other in enumerate(nodes) if other.children == 2]))
        nodes[where] = replace(nodes[where], pair=None, children=1)
    elif kind == "column":
        order = result.permutation.copy()
        i, j = rng.choice(6, 2, replace=False) * 4 + rng.integers(4, size=2)
        order[[i, j]] = order[[j, i]]
        return replace(result, permutation=order)
    elif kind == "value":
        raised = result.value * (1.0 + 10.0 ** rng.uniform(-9, 0))
        return replace(result, value=raised, bound=raised)
    else:
        assert kind == "bound"
        return replace(result, bound=result.bound * (1.0 - 10.0 ** rng.uniform(-9, -1)))
    return with_proof(result, nodes=tuple(nodes))


@pytest.mark.parametrize(
    "kind",
    ["price", "price and bound", "lower excess", "node dropped", "branch altered", "column", "value", "bound"],
)
def test_corruptions_are_all_caught_by_the_mathematics(kind: str) -> None:
    """Twenty of each: the digest fits, only what is said does not hold."""
    problem, result = proven()
    assert verify(problem, result).complete
    rng = np.random.default_rng(0)
    for _ in range(20):
        with pytest.raises(InvalidCertificateError, match=r"^(?!.*digest)"):
            verify(problem, corrupted(result, kind, rng))


def test_the_digest_shows_what_is_no_lie() -> None:
    """A weaker statement, a step less: true all the same, and refused only because it is another certificate."""
    problem, result = proven()
    proof = result.certificate()
    weaker = replace(proof.nodes[-1].stating(proof.nodes[-1].excess * (1 + 1e-9) + 1e-12, 6))
    changed = replace(proof, nodes=(*proof.nodes[:-1], weaker))
    assert verify(problem, replace(result, proof=replace(changed, digest=""))).complete
    with pytest.raises(InvalidCertificateError, match="digest"):
        verify(problem, replace(result, proof=changed))


def test_trees_that_prove_nothing_are_refused() -> None:
    """Branches left out, no branch at all, leaves left open, too many nodes, pairs and sets out of range."""
    problem, result = proven()
    nodes = result.certificate().nodes
    root = nodes[0]
    width = problem.columns
    for changed in (
        (),
        nodes[:-1],
        (*nodes, nodes[-1]),
        (replace(root, children=0),),
        (root, Node(np.empty(0))),
        (replace(root, children=3), *nodes[1:]),
        (replace(root, duals=root.duals[:-1]), *nodes[1:]),
        (replace(root, duals=np.full(width, np.nan)), *nodes[1:]),
        (root, replace(nodes[1], children=2, pair=(0, width)), *nodes[2:]),
        (root, replace(nodes[1], children=2, pair=(1, 1)), *nodes[2:]),
        (root, replace(nodes[1], odd_sets=((0, 1),), weights=np.ones(1)), *nodes[2:]),
        (root, replace(nodes[1], odd_sets=((0, 1, 2),), weights=-np.ones(1)), *nodes[2:]),
    ):
        with pytest.raises(InvalidCertificateError):
            verify(problem, with_proof(result, nodes=changed))


def test_what_is_too_much_work_is_reported() -> None:
    """Not pretended: the report is incomplete, and says by what; blatantly wrong prices are still seen."""
    problem, result = proven()
    report = verify(problem, result, max_work=1000)
    assert not report.complete
    assert "1.06e+04 groups" in report.unchecked[0]
    bad = with_proof(result, nodes=(Node(np.zeros(24)).stating(1.0, 6),))
    with pytest.raises(InvalidCertificateError, match="worth more"):
        verify(problem, bad, max_work=1000)


def test_a_gap_of_rounding_is_as_the_run_saw_it() -> None:
    """Optimal or not by the same rule, however close value and bound are."""
    for gap in (1e-11, 5e-12, 2e-12, 5e-13, 1e-14):
        problem = Problem([[1.0, gap, 0.0, 0.0]], "1:2")
        result = solve(problem, "identity")
        assert verify(problem, result).complete
        assert (result.status is Status.OPTIMAL) == (gap < 1e-12)


def test_wrong_problem_status_and_method() -> None:
    """Another pattern or matrix, a status that the numbers do not bear out, an unknown kind of proof."""
    problem, result = proven()
    with pytest.raises(InvalidCertificateError, match="asks for"):
        verify(Problem(problem.saliency, "1:4"), result)
    with pytest.raises(InvalidCertificateError, match="the value is"):
        verify(Problem(problem.saliency * 2.0), result)
    with pytest.raises(InvalidCertificateError, match="orders 24 columns"):
        verify(Problem(problem.saliency[:, :16]), result)
    with pytest.raises(InvalidCertificateError, match="status"):
        verify(problem, replace(result, status=Status.FEASIBLE))
    with pytest.raises(InvalidCertificateError, match="unknown kind"):
        verify(problem, with_proof(result, method="magic"))
    with pytest.raises(InvalidCertificateError, match="the certificate says"):
        verify(problem, replace(result, proof=None))


@pytest.mark.parametrize("name", ["r.json", "r.npz"])
def test_certificates_are_saved_with_results(tmp_path: Path, name: str) -> None:
    """And prove as much when they are read again."""
    problem, result = proven()
    result.save(tmp_path / name)
    again = Result.load(tmp_path / name)
    assert again.certificate().digest == result.certificate().digest
    assert verify(problem, again).complete


def test_files_that_hold_no_certificate() -> None:
    """Missing parts and wrong types are one clear error."""
    for document in ({}, {"nodes": 3}, proven()[1].certificate().to_dict() | {"bound": "high"}):
        with pytest.raises(InvalidCertificateError, match="not a certificate"):
            Certificate.from_dict(document)


@pytest.mark.parametrize("text", ["1:8", "2:8", "3:8", "4:8", "3:5", "2:6"])
@pytest.mark.parametrize("kind", ["uniform", "ties"])
def test_exact_solvers_agree_and_are_verified_at_every_pattern(text: str, kind: str) -> None:
    """The same optimum, proofs that check, and bounds of upper_bound that check as those of a result.

    Some of these take CP-SAT long to prove: it is stopped, and then its bound holds all the same.
    """
    pattern = Pattern.parse(text)
    rng = np.random.default_rng(pattern.n)
    for columns in (pattern.m + 3, 2 * pattern.m):
        problem = Problem(matrix(kind, 12, columns, rng), text)
        best = solve(problem, "exhaustive")
        for solver, stop in (("exhaustive", None), ("column-generation", None), ("cp-sat", MaxIterations(40))):
            result = solve(problem, solver, time_limit=math.inf, stop=stop, workers=1)
            assert result.value <= best.value * (1.0 + 1e-11)
            assert result.bound >= best.value * (1.0 - 1e-11)
            assert result.status is Status.OPTIMAL or stop is not None, solver
            if result.status is Status.OPTIMAL:
                assert result.value == pytest.approx(best.value, rel=1e-11)
            report = verify(problem, result)
            assert report.complete or result.certificate().method == "solver"
        for method in ("pairs", "groups", "auto"):
            bound = upper_bound(problem, method=method, time_limit=math.inf, workers=1)
            assert bound.value >= best.value * (1.0 - 1e-11)
            stated = replace(solve(problem, "identity"), bound=bound.value, proof=bound.certificate)
            assert verify(problem, stated).complete


SCALES = [1e-323, 3e-322, 1e-318, 1e-312, 1e-310, 1e-308, 1e300, 3e304]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("solver", "text", "shape"),
    [
        ("column-generation", "2:4", (16, 16)),
        ("column-generation", "2:4", (8, 14)),
        ("column-generation", "1:4", (24, 16)),
        ("matching", "1:2", (6, 12)),
        ("exhaustive", "2:4", (6, 8)),
    ],
)
def test_own_proofs_hold_at_any_magnitude(solver: str, text: str, shape: tuple[int, int], scale: float) -> None:
    """Where shares of a value vanish or sums come near to overflow, without a warning of numpy's."""
    problem = Problem(np.random.default_rng(0).random(shape) * scale, text)
    result = solve(problem, solver, time_limit=math.inf, workers=1)
    assert verify(problem, result).complete
    if result.status is Status.OPTIMAL:
        assert verify(problem, Result.from_dict(result.to_dict())).bound == pytest.approx(result.value, rel=1e-9)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", ["pairs", "groups"])
def test_own_bounds_hold_at_any_magnitude(method: str, scale: float) -> None:
    """Those of `upper_bound`, given to a result."""
    problem = Problem(np.random.default_rng(0).random((12, 16)) * scale)
    bound = upper_bound(problem, method=method, time_limit=math.inf, workers=1)
    result = solve(problem, "identity")
    verify(problem, replace(result, bound=bound.value, proof=bound.certificate))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_wrong_proof_of_tiny_weights_is_still_refused(dtype: Any) -> None:
    """What is allowed for their rounding is no room for a bound that is a little too low."""
    scale = 1e-42 if dtype is np.float32 else 1e-310
    problem = Problem((np.random.default_rng(0).random((16, 16)) * scale).astype(dtype))
    result = solve(problem, "column-generation", time_limit=math.inf, workers=1)
    assert verify(problem, result).complete
    lowered = result.certificate()
    root = replace(lowered.nodes[0], duals=lowered.nodes[0].duals * 0.999)
    root = root.stating(root.excess, problem.group_count)
    false = Certificate(lowered.method, lowered.bound * 0.999, (root, *lowered.nodes[1:]))
    with pytest.raises(InvalidCertificateError):
        verify(problem, replace(result, proof=false, bound=max(result.value, result.bound * 0.999)))
