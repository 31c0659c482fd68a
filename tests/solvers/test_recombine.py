"""``recombine``: groups of several runs."""

import numpy as np
import pytest

from permsolve import Problem, solve
from permsolve.errors import InvalidOptionError
from permsolve.run import Run
from permsolve.stopping import MaxIterations
from permsolve_solvers.portfolio.recombine import Recombine, _Member


def _problem(columns: int = 46) -> Problem:
    return Problem(np.random.default_rng(7).random((20, columns)), "2:4")


@pytest.mark.parametrize("workers", [1, 2])
def test_same_seed_same_answer_without_a_clock(workers: int) -> None:
    """Stopped by iterations it gives the same permutation again, whatever the threads do."""
    runs = [solve(_problem(), "recombine", seed=5, workers=workers, stop=MaxIterations(40_000)) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].permutation, runs[1].permutation)
    assert runs[0].value > runs[0].baseline


def test_never_worse_than_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The set partition improves on, or equals, the best of the runs that it recombines."""
    before: list[float] = []
    after: list[float] = []
    original = Recombine._recombine

    def spied(self: Recombine, problem: Problem, run: Run, pool: dict[bytes, float]) -> None:
        before.append(run.value)
        original(self, problem, run, pool)
        after.append(run.value)

    monkeypatch.setattr(Recombine, "_recombine", spied)
    result = solve(_problem(), "recombine", workers=2, rounds=5, stop=MaxIterations(200_000))
    assert before
    assert all(late >= early for early, late in zip(before, after, strict=True))
    assert result.value == after[-1]


def test_joins_halves_of_two_runs() -> None:
    """Of two permutations, each with one half of the columns well grouped, the better halves are put together."""
    rng = np.random.default_rng(8)
    problem = Problem(rng.random((12, 16)), "2:4")
    run = Run(problem)
    good = solve(problem, "exhaustive").permutation
    groups = good.reshape(-1, 4)
    halves = [groups[:2], groups[2:]]
    shuffled = [rng.permutation(half.ravel()).reshape(-1, 4) for half in halves]
    mixed = [np.concatenate([halves[0], shuffled[1]]), np.concatenate([shuffled[0], halves[1]])]
    pool = {np.sort(group).tobytes(): 1.0 for one in mixed for group in one}
    Recombine()._recombine(problem, run, pool)
    assert run.value == pytest.approx(problem.value(good))


def test_where_no_swap_gains_it_ends() -> None:
    """More runs would find nothing either."""
    problem = Problem(np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1.0]]), "1:2")
    assert solve(problem, "recombine", workers=1, stop=MaxIterations(200)).stop_reason == "completed"
    assert solve(problem, "recombine", time_limit=1e9).stop_reason == "completed"


def test_members_know_at_once_that_the_whole_is_interrupted() -> None:
    """They may ask between two looks at their criteria."""
    run = Run(_problem())
    member = _Member(run, _problem(), 0, 60.0)
    assert not member.cut_short
    run.interrupt()
    assert member.cut_short


def test_options() -> None:
    with pytest.raises(InvalidOptionError, match="recombine: rounds"):
        Recombine(rounds=0)
