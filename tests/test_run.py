"""What the core shares with a solver: scoring of offers, bounds, the reasons to stop."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from permsolve.errors import InvalidSolutionError
from permsolve.observers import Incumbent
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve.status import StopReason
from permsolve.stopping import MaxIterations

# Pairs {0, 2} and {1, 3} keep 9 + 8 of the first row and 9 + 7 of the second: the optimum and the row bound.
PROBLEM = Problem([[9.0, 8.0, 1.0, 2.0], [7.0, 9.0, 2.0, 1.0]], "1:2")
BEST = [3, 1, 2, 0]


def test_an_offer_is_scored_and_made_canonical() -> None:
    """The solver's own idea of its value is never asked for."""
    run = Run(PROBLEM)
    assert run.value == PROBLEM.baseline == 22.0
    assert run.offer(BEST)
    assert run.permutation.tolist() == [0, 2, 1, 3]
    assert run.value == run.bound == 33.0
    assert run.proven


def test_only_what_is_better_is_kept() -> None:
    """Equal or worse offers change nothing, the trace included."""
    run = Run(PROBLEM)
    run.offer(BEST)
    before = list(run.trace)
    assert not run.offer([2, 0, 3, 1])
    assert not run.offer([0, 1, 2, 3])
    assert run.trace == before
    assert run.permutation.tolist() == [0, 2, 1, 3]


def test_a_wrong_offer_is_refused() -> None:
    """A solver's mistake is an error, not a result."""
    with pytest.raises(InvalidSolutionError, match="names column 0 2 times"):
        Run(PROBLEM).offer([0, 0, 1, 2])


def test_the_permutation_is_read_only() -> None:
    """Neither solver nor observer can change what was scored; what they offered stays theirs."""
    mine = np.array(BEST)
    run = Run(PROBLEM)
    run.offer(mine)
    mine[:] = 0
    with pytest.raises(ValueError, match="read-only"):
        run.permutation[0] = 3
    assert run.permutation.tolist() == [0, 2, 1, 3]


def test_a_bound_only_ever_falls_and_never_below_the_value() -> None:
    """A bound under a known value can only be a rounding error."""
    run = Run(Problem(np.random.default_rng(0).random((6, 8)), "2:4"))
    first = run.bound
    run.tighten(first + 1.0)
    assert run.bound == first
    run.tighten(math.nan)
    assert run.bound == first
    halfway = (first + run.value) / 2
    run.tighten(halfway)
    assert run.bound == halfway
    run.tighten(0.0)
    assert run.bound == run.value
    assert run.proven


def test_the_observer_gets_each_improvement() -> None:
    """With what the run holds at that moment."""
    seen: list[Incumbent] = []
    run = Run(PROBLEM, observer=seen.append)
    run.offer([0, 1, 2, 3])
    run.should_stop(iterations=3)
    run.offer(BEST)
    (incumbent,) = seen
    assert (incumbent.value, incumbent.bound, incumbent.iteration) == (33.0, 33.0, 3)
    assert incumbent.permutation.tolist() == [0, 2, 1, 3]
    assert 0.0 <= incumbent.time <= run.elapsed


@pytest.mark.parametrize(
    ("provoke", "reason"),
    [
        (lambda run: run.interrupt(), StopReason.INTERRUPTED),
        (lambda run: run.offer(BEST), StopReason.PROVEN),
        (lambda run: run.should_stop(iterations=7), StopReason.ITERATIONS),
    ],
)
def test_the_reason_to_stop(provoke: Callable[[Run], object], reason: StopReason) -> None:
    """A run goes on until something happens, and the first reason stays."""
    run = Run(PROBLEM, stop=MaxIterations(7))
    assert not run.should_stop()
    provoke(run)
    assert run.should_stop()
    run.interrupt()
    assert run.should_stop()
    assert run.stop_reason is reason


def test_the_time_limit_is_a_reason_to_stop() -> None:
    """A limit that has passed already stops at the first question; nothing remains."""
    run = Run(PROBLEM, time_limit=1e-9)
    assert run.should_stop()
    assert run.stop_reason is StopReason.TIME
    assert run.remaining == 0.0
    assert Run(PROBLEM).remaining == math.inf


def test_generators_follow_from_the_seed() -> None:
    """Same seed, same numbers; different seeds or children, different ones."""
    draws = [[rng.random() for rng in Run(PROBLEM, seed=seed).generators(2)] for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert len({*draws[0], *draws[2]}) == 4


def test_a_given_start_is_the_first_best() -> None:
    """In canonical form, and scored."""
    run = Run(PROBLEM, initial=BEST)
    assert run.permutation.tolist() == [0, 2, 1, 3]
    assert run.trace[0].value == 33.0


def test_a_fresh_start_within_a_run_is_undone_afterwards() -> None:
    """Seed and warmth are the inner solver's own; the best so far stays."""
    run = Run(Problem(np.random.default_rng(0).random((4, 8))), initial=np.arange(8), seed=3)
    value = run.value
    with run.afresh(11):
        assert (run.seed, run.warm) == (11, False)
    assert (run.seed, run.warm, run.value) == (3, True, value)
