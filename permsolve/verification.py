"""Checking a result without trusting the solver that made it."""

import math
from dataclasses import dataclass, replace

import numpy as np

from permsolve import repricing
from permsolve.arithmetic import own_arithmetic
from permsolve.certificate import Certificate
from permsolve.errors import InvalidCertificateError, InvalidProblemError, InvalidSolutionError, PermsolveError
from permsolve.permutation import canonical, check_permutation, to_groups
from permsolve.problem import Problem, check_problem, meets
from permsolve.registry import get_solver
from permsolve.result import Result
from permsolve.run import Run
from permsolve.status import Status

# Group entries (groups x rows x M) that are looked at unless asked otherwise: about a minute.
MAX_WORK = 2 * 10**9
# Two float64 sums of the same numbers in different orders agree to this share.
ROUNDING = 1e-11
# Incomplete groups that are completed in every way where all groups are too many.
_SAMPLES = 2000
# Beyond this, and by how many powers of two, a problem is made smaller before sums of its prices are taken.
_LARGE = 1e290
_SHIFT = 128


@dataclass(frozen=True, slots=True)
class Verification:
    """What :func:`verify` made sure of; whatever was wrong raised an error instead.

    Attributes
    ----------
    checked : tuple of str
        What was recomputed and holds.
    unchecked : tuple of str
        What was taken on trust, and why; empty when the result is proven as a whole.
    bound : float
        The bound that the checks confirm (the row bound, when the certificate was not fully checked).
    """

    checked: tuple[str, ...]
    unchecked: tuple[str, ...]
    bound: float

    @property
    def complete(self) -> bool:
        """Whether everything that the result says was checked."""
        return not self.unchecked


@own_arithmetic
def verify(problem: Problem, result: Result, *, max_work: int = MAX_WORK) -> Verification:
    """Re-check a result: permutation, value, and the certificate of its bound, in plain numpy.

    Every node of a proof says a largest reduced cost and a bound; both are recomputed, from the prices and from the
    groups that the nodes above leave, and the tree must cover all partitions. The bound holds up to a share of 1e-9,
    whatever the rounding; where the weights are near the least numbers of float64, up to a few of these for each column
    and group. A change of a proof that leaves every statement in it true, such as a step less, is no false
    proof; only the certificate's digest, looked at last, tells it from the one that was made.

    Parameters
    ----------
    problem : Problem
        The problem that was solved.
    result : Result
        What is said of it.
    max_work : int, default 2e9
        Entries (groups x rows x M) that may be looked at. A proof over all groups that would take more is only sampled,
        and the report says so.

    Returns
    -------
    Verification
        What was checked and what was not.

    Raises
    ------
    InvalidCertificateError
        When something is off: the message says what.
    InvalidProblemError
        When it is given something else than a problem and a result.
    """
    check_problem("verify", problem)
    if not isinstance(result, Result):
        raise InvalidProblemError(f"verify() takes the Result of the problem, got {type(result).__name__}")
    checked: list[str] = []
    unchecked: list[str] = []
    if result.pattern != problem.pattern:
        raise InvalidCertificateError(f"the result is for {result.pattern}, the problem asks for {problem.pattern}")
    try:
        permutation = check_permutation(result.permutation, problem.columns)
    except InvalidSolutionError as error:
        raise InvalidCertificateError(str(error)) from error
    if not np.array_equal(permutation, canonical(permutation, problem.pattern)):
        raise InvalidCertificateError("the permutation is not the canonical one of its groups: it was changed")
    checked.append("permutation")
    matrix = problem.padded.astype(np.float64)
    groups = to_groups(permutation, problem.pattern)
    value = float(repricing.group_values(matrix, groups, problem.pattern.n).sum())
    _agree("value", result.value, value)
    identity = to_groups(np.arange(problem.columns), problem.pattern)
    _agree("baseline", result.baseline, float(repricing.group_values(matrix, identity, problem.pattern.n).sum()))
    kept = problem.pattern.kept_per_row(problem.columns)
    row_bound = float(np.sort(matrix, axis=0)[matrix.shape[0] - kept :].sum())
    _agree("row bound", result.row_bound, row_bound)
    checked += ["value", "baseline", "row bound"]
    if result.bound < value * (1.0 - ROUNDING):
        raise InvalidCertificateError(f"the bound {result.bound!r} is below the value {value!r}")
    if (result.status is Status.OPTIMAL) != meets(result.value, result.bound):
        raise InvalidCertificateError(f"status {result.status} with value {result.value!r} and bound {result.bound!r}")
    certificate = result.certificate()
    grain = max((repricing.grain(problem, node) for node in certificate.nodes), default=repricing.grain(problem))
    if result.bound < min(certificate.bound, row_bound) * (1.0 - repricing.TOLERANCE) - grain:
        raise InvalidCertificateError(f"the certificate says {certificate.bound!r}, the result {result.bound!r}")
    proven = _proven(problem, certificate, value, max_work, checked, unchecked)
    bound = min(row_bound, max(proven, value))
    if not unchecked:
        if bound > result.bound + repricing.TOLERANCE * abs(result.bound) + grain:
            raise InvalidCertificateError(
                f"the certificate ({certificate.method}) proves {bound!r}, the result claims {result.bound!r}"
            )
        checked.append("bound")
    if certificate.digest != certificate.computed_digest():
        raise InvalidCertificateError("the certificate was changed after it was made: its digest does not fit")
    return Verification(tuple(checked), tuple(unchecked), bound)


def _agree(name: str, said: float, found: float) -> None:
    if abs(said - found) > ROUNDING * max(abs(said), abs(found)):
        raise InvalidCertificateError(f"the {name} is {found!r}, the result says {said!r}")


def _proven(
    problem: Problem, certificate: Certificate, value: float, max_work: int, checked: list[str], unchecked: list[str]
) -> float:
    """The bound that a certificate proves, as far as it is checked."""
    method = certificate.method
    if method == "rows":
        return problem.row_bound
    if method == "pairs":
        return _proven_by_pairs(problem, certificate, max_work, checked, unchecked)
    if method in ("duals", "branching"):
        count = repricing.group_count(problem)
        work = count * problem.rows * problem.pattern.m
        if work <= max_work:
            checked.append(f"prices against all {count} groups")
            return _proven_by_prices(problem, certificate, value)
        seen = _sample(problem, certificate, max_work)
        checked.append(f"prices against {seen} groups: every completion of some at random")
        unchecked.append(f"prices against all {count:.3g} groups: {work:.2g} entries, more than {max_work:.2g}")
        return problem.row_bound
    if method == "enumeration":
        again = Run(problem, initial=np.arange(problem.columns))
        try:
            get_solver("exhaustive").solve(problem, again)
        except PermsolveError as error:
            unchecked.append(f"the enumeration: {error}")
            return problem.row_bound
        checked.append("enumeration, once more")
        return again.value
    if method == "solver":
        unchecked.append("the word of an outside solver, which leaves no proof behind: solve again to check it")
        return problem.row_bound
    raise InvalidCertificateError(f"unknown kind of certificate {method!r}")


def _proven_by_prices(problem: Problem, certificate: Certificate, value: float) -> float:
    """The bound that follows from the prices of a certificate.

    Sums of prices near the largest number overflow on the way. These are checked on a problem that is smaller by a
    power of two, which changes no digit.
    """
    if problem.row_bound <= _LARGE:
        return repricing.Repricing(problem, value).bound(certificate)
    smaller = Problem(np.ldexp(problem.saliency.astype(np.float64), -_SHIFT), problem.pattern)
    nodes = tuple(node.scaled(-_SHIFT) for node in certificate.nodes)
    proven = repricing.Repricing(smaller, math.ldexp(value, -_SHIFT)).bound(
        replace(certificate, nodes=nodes, digest="")
    )
    return float(np.ldexp(proven, _SHIFT))


def _proven_by_pairs(
    problem: Problem, certificate: Certificate, max_work: int, checked: list[str], unchecked: list[str]
) -> float:
    """The bound of a certificate over pairs: all columns looked at, or as many as the work allows."""
    if certificate.layers is None or len(certificate.nodes) != 1:
        raise InvalidCertificateError("a certificate over pairs needs layers and one node")
    pairs = repricing.PairRepricing(problem, certificate.layers, certificate.duals)
    width = problem.columns + problem.padding
    affordable = max(1, max_work // (width * problem.rows))
    columns = np.random.default_rng(0).permutation(width)[:affordable].tolist()
    pairs.check(columns)
    checked.append(f"the pairs of {len(columns)} of {width} columns")
    if len(columns) < width:
        work = float(width) ** 2 * problem.rows
        unchecked.append(f"the pairs of the others: {work:.2g} entries, more than {max_work:.2g}")
        return problem.row_bound
    return pairs.stated()


def _sample(problem: Problem, certificate: Certificate, max_work: int) -> int:
    """Refuse prices that some groups show to be wrong: M - 1 columns at random with each other one; how many groups."""
    repricing.check_nodes(problem, certificate.nodes)
    root = certificate.nodes[0]
    rng = np.random.default_rng(0)
    m = problem.pattern.m
    columns = problem.columns
    matrix = problem.padded.astype(np.float64)
    tries = int(max(1, min(_SAMPLES, max_work // (columns * problem.rows * m))))
    seen = 0
    for _ in range(tries):
        begun = rng.choice(columns, m - 1, replace=False)
        last = np.setdiff1d(np.arange(columns), begun)
        groups = np.sort(np.column_stack([np.tile(begun, (last.size, 1)), last]), axis=1)
        values = repricing.group_values(matrix, groups, problem.pattern.n)
        reduced = repricing.reduced_costs(root, groups, values, matrix.shape[0])
        allowed = repricing.TOLERANCE * abs(root.bound) / problem.group_count + 2 * m * repricing.LEAST
        if float(reduced.max()) > root.excess + allowed:
            raise InvalidCertificateError("the prices do not prove the bound: a group is worth more than they allow")
        seen += last.size
    return seen
