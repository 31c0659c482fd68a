"""What every registered solver promises, checked on each of them."""

import math
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from permsolve.api import solve
from permsolve.errors import UnsupportedProblemError
from permsolve.pattern import Pattern
from permsolve.permutation import canonical
from permsolve.problem import Problem
from permsolve.registry import available_solvers, get_solver, solver_class
from permsolve.result import Result
from permsolve.status import Status, StopReason
from permsolve.stopping import MaxIterations, Target
from tests import oracle
from tests.instances import PATTERNS, matrix, tiny_problems

SOLVERS = available_solvers()
BAR_PATTERNS = ("1:2", "1:4", "2:4", "4:8", "3:5")
ROUNDING = 1e-12

every_solver = pytest.mark.parametrize("solver", SOLVERS)


def attempt(problem: Problem, solver: str, **arguments: Any) -> Result | None:
    """A short solve; None when the solver refuses it, as only exact ones and those of some patterns may."""
    defaults: dict[str, Any] = {"stop": MaxIterations(30), "time_limit": 20, "workers": 1}
    try:
        return solve(problem, solver, **(defaults | arguments))
    except UnsupportedProblemError:
        capabilities = solver_class(solver).capabilities
        assert capabilities.exact or capabilities.patterns != "all"
        return None


def assert_sound(result: Result, problem: Problem) -> None:
    """Everything that must hold of any result, from the problem alone."""
    columns = problem.columns
    assert sorted(result.permutation.tolist()) == list(range(columns))
    assert result.permutation.tolist() == canonical(result.permutation, problem.pattern).tolist()
    assert result.value == problem.value(result.permutation)
    assert result.value >= problem.baseline == result.baseline
    assert result.value <= result.bound <= max(result.row_bound, result.value)
    assert result.row_bound == problem.row_bound
    assert result.value <= result.row_bound * (1 + ROUNDING)
    assert (result.status is Status.OPTIMAL) == (result.bound - result.value <= ROUNDING * result.bound)
    assert result.runtime >= 0.0


@every_solver
@pytest.mark.parametrize("text", PATTERNS)
def test_results_are_sound(solver: str, text: str) -> None:
    """A valid permutation that scores what is said, on two full groups and a short one of every kind of data."""
    pattern = Pattern.parse(text)
    rng = np.random.default_rng(11)
    for kind in ("uniform", "ties", "sparse", "duplicates"):
        problem = Problem(matrix(kind, 7, min(3 * pattern.m - 1, 40), rng), pattern)
        if result := attempt(problem, solver):
            assert_sound(result, problem)


@every_solver
@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((5, 1), "2:4"),
        ((1, 1), "1:2"),
        ((1, 12), "2:4"),
        ((6, 3), "2:4"),
        ((6, 8), "3:16"),
        ((6, 5), "2:4"),
        ((3, 9), "1:2"),
        ((2000, 8), "2:4"),
    ],
    ids=str,
)
def test_odd_shapes(solver: str, shape: tuple[int, int], text: str) -> None:
    """One column, one row, fewer columns than M, a group of one, many rows."""
    problem = Problem(matrix("uniform", *shape, np.random.default_rng(12)), text)
    if result := attempt(problem, solver):
        assert_sound(result, problem)


@every_solver
@pytest.mark.parametrize("text", ["1:2", "2:4", "3:5"])
def test_degenerate_values(solver: str, text: str) -> None:
    """All zeros, all equal, one column that is not zero, equal columns, and magnitudes near both ends of float64."""
    single = np.zeros((4, 11))
    single[:, 6] = 1.0
    equal = np.repeat(np.arange(4.0)[:, None], 11, axis=1)
    uniform = np.random.default_rng(0).random((4, 11))
    for saliency in (np.zeros((4, 11)), np.ones((4, 11)), single, equal, uniform * 1e300, uniform * 1e-300):
        problem = Problem(saliency, text)
        if result := attempt(problem, solver):
            assert_sound(result, problem)


@every_solver
@pytest.mark.parametrize("workers", [1, 2])
def test_same_seed_same_answer(solver: str, workers: int) -> None:
    """When iterations stop the search, with one worker and with two; also on the same problem made anew."""
    saliency = matrix("uniform", 24, 20, np.random.default_rng(13))
    results = [
        attempt(Problem(saliency, "2:4"), solver, seed=7, workers=workers, stop=MaxIterations(200)) for _ in range(2)
    ]
    first, second = results
    if first and second:
        assert first.permutation.tolist() == second.permutation.tolist()
        assert (first.value, first.iterations) == (second.value, second.iterations)


@every_solver
@pytest.mark.parametrize("shape", [(64, 20), (200, 300)])
def test_the_time_limit_is_honoured(solver: str, shape: tuple[int, int]) -> None:
    """A search without end ends; an anytime solver uses the time that it has."""
    problem = Problem(matrix("uniform", *shape, np.random.default_rng(14)).astype(np.float32), "2:4")
    if result := attempt(problem, solver, time_limit=0.4, stop=None, workers=2):
        assert result.runtime < 600.0  # of a machine that is busy; measured in benchmarks
        assert_sound(result, problem)
        if solver_class(solver).capabilities.anytime and result.status is not Status.OPTIMAL:
            assert result.stop_reason is StopReason.TIME
            assert result.runtime >= 0.4


@every_solver
def test_a_start_is_used_and_never_made_worse(solver: str) -> None:
    """From the optimum nothing but the optimum can come back, whatever the solver does with it."""
    problem = Problem(matrix("uniform", 9, 11, np.random.default_rng(15)), "2:4")
    best = solve(problem, "exhaustive")
    result = attempt(problem, solver, initial=best.permutation)
    assert result is not None
    assert result.value == best.value
    assert_sound(result, problem)


@every_solver
def test_a_search_that_may_not_begin_returns_the_start(solver: str) -> None:
    """No time, no iterations: the answer is still sound."""
    problem = Problem(matrix("uniform", 9, 12, np.random.default_rng(16)), "2:4")
    for limits in ({"time_limit": 1e-9}, {"stop": MaxIterations(0)}):
        if result := attempt(problem, solver, **limits):
            assert_sound(result, problem)


@every_solver
def test_solvers_and_results_pickle(solver: str) -> None:
    """To send them to other processes; a capability is said of every solver."""
    engine = get_solver(solver)
    copy = pickle.loads(pickle.dumps(engine))
    assert type(copy) is type(engine)
    assert copy.capabilities.summary
    problem = Problem(matrix("uniform", 6, 8, np.random.default_rng(17)), "2:4")
    result = attempt(problem, solver)
    assert result is not None
    assert pickle.loads(pickle.dumps(result)).to_dict() == result.to_dict()


def test_solvers_work_in_spawned_processes() -> None:
    """By name, with a pickled problem, and give the answer that they give here."""
    problem = Problem(matrix("uniform", 8, 12, np.random.default_rng(18)), "2:4")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = list(pool.map(attempt, [problem] * len(SOLVERS), SOLVERS))
    here = [attempt(problem, solver) for solver in SOLVERS]
    for ours, theirs in zip(here, there, strict=True):
        assert ours is not None
        assert theirs is not None
        assert theirs.permutation.tolist() == ours.permutation.tolist()
        assert theirs.value == ours.value


@pytest.fixture(scope="module")
def tiny() -> list[tuple[Problem, Result]]:
    """200 random tiny instances and their optima as exhaustive search gives them."""
    return [(problem, solve(problem, "exhaustive")) for problem in tiny_problems(200, BAR_PATTERNS, seed=2026)]


def test_exhaustive_agrees_with_plain_python(tiny: list[tuple[Problem, Result]]) -> None:
    """On every instance of which looking at each partition in plain Python is cheap enough."""
    compared = 0
    for problem, best in tiny:
        pattern = problem.pattern
        assert best.status is Status.OPTIMAL
        if oracle_is_cheap(problem):
            expected = oracle.best_value(problem.saliency.astype(np.float64), pattern.n, pattern.m)
            assert best.value == pytest.approx(expected, rel=1e-12)
            compared += 1
    assert compared >= 150


def oracle_is_cheap(problem: Problem) -> bool:
    """At most 10 columns, or 11 in few partitions."""
    return problem.columns <= (11 if problem.pattern.m == 8 else 10)


@every_solver
def test_no_solver_claims_more_than_the_optimum(solver: str, tiny: list[tuple[Problem, Result]]) -> None:
    """On all 200: equal to the optimum or honestly below; a bound never below the optimum; proven means proven."""
    for problem, best in tiny:
        # A search that finds no step to make goes on to its time limit.
        result = attempt(problem, solver, stop=MaxIterations(10), time_limit=1.0)
        assert result is not None
        assert_sound(result, problem)
        assert result.value <= best.value * (1 + ROUNDING)
        assert result.bound >= best.value * (1 - ROUNDING)
        if result.status is Status.OPTIMAL:
            assert result.value == pytest.approx(best.value, rel=1e-11)


@pytest.mark.parametrize("solver", [name for name in SOLVERS if solver_class(name).capabilities.exact] + ["auto"])
def test_exact_solvers_prove_the_optimum(solver: str, tiny: list[tuple[Problem, Result]]) -> None:
    """Those that say so do, on problems of at most 8 columns."""
    small = [(problem, best) for problem, best in tiny if problem.columns <= 8]
    assert len(small) > 50
    for problem, best in small:
        result = solve(problem, solver, time_limit=math.inf)
        assert result.status is Status.OPTIMAL
        assert result.value == pytest.approx(best.value, rel=1e-12)


def test_local_search_finds_the_optima(tiny: list[tuple[Problem, Result]]) -> None:
    """On problems this small it misses next to none in a few thousand steps."""
    missed = 0
    for problem, best in tiny:
        result = attempt(problem, "local-search", stop=Target(best.value) | MaxIterations(3000))
        assert result is not None
        missed += result.value < best.value * (1 - 1e-9)
    assert missed <= 4


SALIENCIES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(2, 9)),
    elements=st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 3.0, 7.0]),
)
few_examples = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
# Deterministic in what they see, so that what does not matter to a problem must not matter to them.
DETERMINISTIC = ("identity", "greedy", "exhaustive")


@every_solver
@few_examples
@given(SALIENCIES, st.sampled_from(["1:2", "2:4", "3:5"]), st.integers(-20, 20))
def test_powers_of_two_scale_the_answer(solver: str, saliency: NDArray[Any], text: str, exponent: int) -> None:
    """Scaling is exact in binary floats: same permutation, value and bounds scaled."""
    plain = attempt(Problem(saliency, text), solver)
    scaled = attempt(Problem(np.ldexp(saliency, exponent), text), solver)
    assert plain is not None
    assert scaled is not None
    assert scaled.permutation.tolist() == plain.permutation.tolist()
    assert scaled.value == np.ldexp(plain.value, exponent)
    assert scaled.bound == np.ldexp(plain.bound, exponent)


@pytest.mark.parametrize("solver", DETERMINISTIC)
@few_examples
@given(SALIENCIES, st.sampled_from(["1:2", "2:4", "3:5"]), st.randoms())
def test_the_order_of_the_rows_does_not_matter(solver: str, saliency: NDArray[Any], text: str, random: Any) -> None:
    """Sums of such numbers are exact, so values are equal and not just close."""
    order = list(range(saliency.shape[0]))
    random.shuffle(order)
    plain = attempt(Problem(saliency, text), solver)
    shuffled = attempt(Problem(saliency[order], text), solver)
    assert plain is not None
    assert shuffled is not None
    assert shuffled.value == plain.value
    assert shuffled.bound == plain.bound


@few_examples
@given(SALIENCIES, st.sampled_from(["1:2", "2:4", "3:5"]), st.randoms())
def test_the_names_of_the_columns_do_not_matter(saliency: NDArray[Any], text: str, random: Any) -> None:
    """The optimum and the row bound are those of the set of columns; only the given order's value may differ."""
    order = list(range(saliency.shape[1]))
    random.shuffle(order)
    plain = solve(Problem(saliency, text), "exhaustive")
    relabelled = solve(Problem(saliency[:, order], text), "exhaustive")
    assert relabelled.value == plain.value
    assert relabelled.row_bound == plain.row_bound
    assert Problem(saliency, text).value(np.array(order)[relabelled.permutation]) == plain.value
