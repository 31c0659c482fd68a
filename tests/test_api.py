"""solve(): its arguments, what it tells while searching, and how it is stopped."""

import asyncio
import dataclasses
import math
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from permsolve import upper_bound, verify
from permsolve.api import default_time_limit, solve
from permsolve.errors import InvalidOptionError, InvalidProblemError, InvalidSolutionError, PermsolveError
from permsolve.observers import Incumbent
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from permsolve.registry import available_solvers, get_solver, solver_class
from permsolve.result import Result
from permsolve.run import Run
from permsolve.solver import Outcome, Solver
from permsolve.status import Status, StopReason
from permsolve.stopping import Gap, MaxIterations, MaxRuntime, NoImprovement, Target, WhenSet

PROBLEM = Problem(np.random.default_rng(0).random((32, 24)), "2:4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time_limit": 0}, "time_limit must be a number of seconds > 0, got 0"),
        ({"time_limit": -1.5}, "got -1.5"),
        ({"time_limit": float("nan")}, "got nan"),
        ({"time_limit": "10"}, "got '10'"),
        ({"time_limit": True}, "got True"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"seed": 1.5}, "seed must be"),
        ({"seed": "x"}, "seed must be"),
        ({"seed": None}, "seed must be"),
        ({"workers": 0}, "workers must be a whole number >= 1, got 0"),
        ({"workers": 2.0}, "workers must be"),
        ({"workers": True}, "workers must be"),
        ({"stop": 10}, "stop must be a stopping criterion or a list of them, got 10"),
        ({"stop": "10s"}, "stop must be"),
        ({"stop": [10]}, "10 is not a stopping criterion"),
        ({"kick": 4}, "solver 'random' has no option 'kick'"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """One clear error each, before any search."""
    with pytest.raises(InvalidOptionError, match=message):
        solve(PROBLEM, "random", **({"time_limit": 5} | arguments))


@pytest.mark.parametrize("wrong", [np.ones((2, 4)), None, "weights.npy"])
def test_solve_takes_a_problem(wrong: Any) -> None:
    """The message says how to make one of a weight."""
    with pytest.raises(InvalidProblemError, match=r"use Problem\.from_weight"):
        solve(wrong)


@pytest.mark.parametrize("wrong", [[0, 1], np.zeros(24, int), "abc", np.arange(24.0)])
def test_a_wrong_start_is_refused(wrong: Any) -> None:
    """It must be a permutation of the problem's columns."""
    with pytest.raises(InvalidSolutionError):
        solve(PROBLEM, "identity", initial=wrong)


def test_every_error_is_a_permsolve_error() -> None:
    """One except clause catches them all."""
    for call in (lambda: solve(None), lambda: solve(PROBLEM, "none"), lambda: solve(PROBLEM, workers=0)):  # type: ignore[arg-type]
        with pytest.raises(PermsolveError):
            call()


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, int])
def test_numpy_numbers_are_numbers(kind: Any) -> None:
    """For the time limit, the seed, the workers and the criteria."""
    arguments: dict[str, Any] = {"time_limit": kind(3), "seed": np.int64(2), "workers": np.int32(1)}
    result = solve(PROBLEM, "identity", stop=MaxRuntime(kind(3)), **arguments)
    assert (result.time_limit, result.seed, result.workers) == (3.0, 2, 1)
    assert [type(number) for number in (result.time_limit, result.seed, result.workers)] == [float, int, int]


def test_the_result_says_what_it_ran_with() -> None:
    """Solver, seed, workers, time limit, options and versions."""
    result = solve(PROBLEM, "local-search", seed=5, workers=1, stop=MaxIterations(1), kick=3)
    assert (result.solver, result.seed, result.workers, result.options) == ("local-search", 5, 1, {"kick": 3})
    assert result.time_limit == float("inf")
    assert set(result.versions) >= {"python", "permsolve", "numpy", "numba", "scipy"}
    assert result.baseline == PROBLEM.baseline
    assert result.row_bound == PROBLEM.row_bound


def test_the_observer_is_told_of_every_improvement() -> None:
    """In increasing value, and the last one is the result; the trace holds the same values."""
    seen: list[Incumbent] = []
    result = solve(PROBLEM, "random", seed=3, stop=MaxIterations(300), observer=seen.append)
    values = [incumbent.value for incumbent in seen]
    assert len(values) >= 3
    assert values == sorted(set(values))
    assert values[-1] == result.value
    assert seen[-1].permutation.tolist() == result.permutation.tolist()
    assert [point.value for point in result.trace] == [result.baseline, *values, result.value]
    times = [point.time for point in result.trace]
    assert times == sorted(times)
    assert times[-1] <= result.runtime
    for incumbent in seen:
        assert incumbent.value == PROBLEM.value(incumbent.permutation) <= incumbent.bound


def test_an_observer_that_fails_is_heard() -> None:
    """Its exception is the caller's, not swallowed."""

    def fail(incumbent: Incumbent) -> None:
        raise RuntimeError("observer")

    with pytest.raises(RuntimeError, match="observer"):
        solve(PROBLEM, "random", time_limit=20, observer=fail)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (MaxIterations(20), StopReason.ITERATIONS),
        (NoImprovement(5), StopReason.NO_IMPROVEMENT),
        (NoImprovement(seconds=0.02), StopReason.NO_IMPROVEMENT),
        (Target(PROBLEM.baseline), StopReason.TARGET),
        (Gap(1.0), StopReason.GAP),
        (MaxRuntime(0.05), StopReason.TIME),
        ([MaxRuntime(30), MaxIterations(3)], StopReason.ITERATIONS),
        (MaxRuntime(30) | MaxIterations(3), StopReason.ITERATIONS),
        (MaxIterations(1) & MaxIterations(3), StopReason.ITERATIONS),
        pytest.param(lambda progress: progress.iteration >= 4, StopReason.CRITERION, id="function"),
    ],
    ids=str,
)
def test_criteria_stop_the_search(stop: Any, reason: StopReason) -> None:
    """Each gives its own reason; a list stops at the first, a plain function will do."""
    result = solve(PROBLEM, "random", stop=stop)
    assert result.stop_reason is reason
    if reason is StopReason.TARGET:
        assert result.iterations == 0


def test_the_time_limit_and_criteria_work_together() -> None:
    """Whichever comes first."""
    assert solve(PROBLEM, "random", time_limit=0.05, stop=MaxIterations(10**9)).stop_reason is StopReason.TIME
    assert solve(PROBLEM, "random", time_limit=30, stop=MaxIterations(2)).stop_reason is StopReason.ITERATIONS


def test_without_a_limit_there_is_one() -> None:
    """An anytime solver ends by itself, by a limit that grows with the problem; an empty list is no criterion."""
    small = Problem(np.random.default_rng(0).random((2, 6)), "1:2")
    assert default_time_limit(small) == 1.0
    assert default_time_limit(Problem(np.ones((300, 300), np.float32))) > 2.0
    assert solve(PROBLEM, "random", stop=[]).time_limit == default_time_limit(PROBLEM)


@pytest.mark.parametrize("solver", ["identity", "greedy", "random", "local-search", "auto"])
def test_a_start_is_never_made_worse(solver: str) -> None:
    """A good start stays when the solver finds nothing better."""
    good = solve(PROBLEM, "local-search", stop=MaxIterations(20), workers=1)
    result = solve(PROBLEM, solver, initial=good.permutation[::-1], stop=MaxIterations(1), workers=1)
    assert result.value >= PROBLEM.value(good.permutation[::-1])
    assert result.baseline == PROBLEM.baseline


def interrupted_by(send: Any) -> Result:
    """A long search that ``send`` cuts short at its first improvement."""
    sent = threading.Event()

    def observe(incumbent: Incumbent) -> None:
        if not sent.is_set():
            sent.set()
            send()

    return solve(PROBLEM, "random", time_limit=60, observer=observe)


def test_ctrl_c_returns_the_best_so_far() -> None:
    """The first SIGINT ends the search; afterwards Ctrl-C means what it did before."""
    result = interrupted_by(lambda: os.kill(os.getpid(), signal.SIGINT))
    assert result.stop_reason is StopReason.INTERRUPTED
    assert result.value > result.baseline
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_raises() -> None:
    """Two in a row are meant seriously; Ctrl-C means what it did before then, too."""

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupted_by(twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_applications_own_handler_is_left_alone() -> None:
    """It gets the signal, and the search goes on."""
    heard = []
    previous = signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    try:
        handler = signal.getsignal(signal.SIGINT)
        result = solve(
            PROBLEM, "random", stop=MaxIterations(100), observer=lambda _: os.kill(os.getpid(), signal.SIGINT)
        )
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, previous)
    assert heard
    assert result.stop_reason is StopReason.ITERATIONS


def test_other_threads_can_solve() -> None:
    """Where no signal handler can be set; the answer is the same."""
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(solve(PROBLEM, "random", stop=MaxIterations(50))))
    thread.start()
    thread.join()
    assert results[0].permutation.tolist() == solve(PROBLEM, "random", stop=MaxIterations(50)).permutation.tolist()


def test_under_asyncio_a_flag_ends_a_search() -> None:
    """The loop has SIGINT for itself; its callback sets the flag that the search was given, in a thread or in none."""
    enough = threading.Event()

    def interrupt(_: Incumbent) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def search() -> Result:
        return solve(PROBLEM, "random", stop=WhenSet(enough) | MaxIterations(10**9), observer=interrupt)

    async def host() -> Result:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, enough.set)
        return await asyncio.to_thread(search)

    result = asyncio.run(host())
    assert result.stop_reason is StopReason.INTERRUPTED
    assert result.value > result.baseline
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_hosts_handler_of_the_end_can_set_a_flag(number: signal.Signals) -> None:
    """It is called during the search, which ends by the flag; it is the host's afterwards, too."""
    enough = threading.Event()

    def handler(*_: object) -> None:
        enough.set()

    previous = signal.signal(number, handler)
    try:
        result = solve(
            PROBLEM,
            "random",
            stop=[WhenSet(enough), MaxIterations(10**9)],
            observer=lambda _: os.kill(os.getpid(), number),
        )
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, previous)
    assert result.stop_reason is StopReason.INTERRUPTED


def test_a_proven_optimum_is_said_to_be_one() -> None:
    """Status, reason, bound and gap agree."""
    result = solve(Problem(np.random.default_rng(0).random((4, 8)), "2:4"), "exhaustive")
    assert result.status is Status.OPTIMAL
    assert result.stop_reason is StopReason.PROVEN
    assert result.bound == result.value
    assert result.gap == 0.0


def test_a_search_stopped_early_claims_nothing() -> None:
    """Feasible, with the row bound as the only bound."""
    result = solve(PROBLEM, "random", stop=MaxIterations(1))
    assert result.status is Status.FEASIBLE
    assert result.bound == PROBLEM.row_bound > result.value


def test_results_are_plain_data() -> None:
    """Every field of a result can be read by name; none holds on to the problem."""
    result = solve(PROBLEM, "identity")
    assert not any(getattr(result, field.name) is PROBLEM for field in dataclasses.fields(result))


def test_solving_gives_the_same_answer_in_another_process() -> None:
    """Same seed and iterations, new interpreter: nothing hangs on hash seeds or on what ran before."""
    code = (
        "import numpy as np; from permsolve import Problem, solve; from permsolve.stopping import MaxIterations;"
        "p = Problem(np.random.default_rng(0).random((32, 24)), '2:4');"
        "print(solve(p, 'random', seed=3, stop=MaxIterations(40)).permutation.tolist())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path_env())
    here = solve(PROBLEM, "random", seed=3, stop=MaxIterations(40)).permutation.tolist()
    assert there.stdout.strip() == str(here)


def path_env() -> dict[str, str]:
    """An environment in which a new interpreter finds the packages, installed or not."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.mark.parametrize("solver", ["auto", "column-generation"])
@pytest.mark.parametrize("pattern", ["2:4", "1:3", "2:3"])
def test_the_warm_up_reaches_the_proof(solver: str, pattern: str) -> None:
    """So that no time limit pays for compiling the kernels of its last phase."""
    saliency = np.random.default_rng(0).random((64, 8 * Pattern.parse(pattern).m))
    iterations = get_solver(solver).capabilities.warm_up
    result = solve(Problem(saliency, pattern), solver, stop=MaxIterations(iterations), workers=1)
    assert result.stop_reason is StopReason.PROVEN


def test_the_warm_up_reaches_every_phase_of_local_search() -> None:
    """Chains of narrow problems and reheating, on the coarse saliency, of wide ones."""
    code = (
        "import numpy as np; from permsolve import Problem, solve;"
        "from permsolve.kernels.exchange import exchange_coarse;"
        "from permsolve_solvers.local_search._kernels import search;"
        "solve(Problem(np.eye(8), '2:4'), 'local-search', time_limit=1e-9);"
        "print(len(exchange_coarse.signatures), len(search.signatures))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path_env())
    assert all(int(count) > 0 for count in found.stdout.split())


def test_what_is_no_problem_is_refused() -> None:
    """With what it is and what to do, wherever one is asked for."""
    weight: Any = np.ones((4, 8))
    problem = Problem(weight)
    for call in (lambda: solve(weight), lambda: upper_bound(weight), lambda: verify(weight, solve(problem))):
        with pytest.raises(InvalidProblemError, match=r"takes a Problem, got ndarray: use Problem\.from_weight"):
            call()
    with pytest.raises(InvalidProblemError, match="takes the Result of the problem, got int"):
        verify(problem, 3)  # type: ignore[arg-type]
    with pytest.raises(InvalidOptionError, match="observer must be callable"):
        solve(problem, observer=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("solver", available_solvers())
def test_what_compiles_says_so(solver: str) -> None:
    """Also those of other solvers that it runs, so that no time limit pays for them."""
    capabilities = solver_class(solver).capabilities
    assert capabilities.compiled == (solver not in ("identity", "random"))
    assert set(capabilities.members) <= set(available_solvers())


def test_a_runtime_is_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solvers plan by it as by a limit, unless something else may stop them before."""
    seen: list[tuple[float, bool]] = []

    def noted(self: Solver, problem: Problem, run: Run, /) -> Outcome:
        seen.append((run.time_limit, run.timed))
        return Outcome()

    monkeypatch.setattr(solver_class("identity"), "solve", noted)
    problem = Problem(np.random.default_rng(0).random((4, 16)))
    for stop, limit in (
        (MaxRuntime(3.0), None),
        (MaxRuntime(3.0), 5.0),
        ([MaxRuntime(3.0), MaxRuntime(4.0)], None),
        (MaxRuntime(3.0) | MaxIterations(7) | Target(1e9), None),
        (MaxRuntime(3.0) & MaxIterations(7), None),
    ):
        solve(problem, "identity", stop=stop, time_limit=limit)
    assert seen == [(3.0, True), (3.0, True), (3.0, True), (3.0, False), (math.inf, False)]
