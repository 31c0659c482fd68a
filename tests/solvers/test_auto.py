"""``auto``: what it chooses."""

from typing import Any

import numpy as np
import pytest

from permsolve import Problem, solve
from permsolve.run import Run
from permsolve.solver import Outcome
from permsolve.status import StopReason
from permsolve_solvers.portfolio import auto


def test_no_proof_where_the_groups_cannot_be_priced() -> None:
    """Few rows make a pass short, but there are too many groups to list, and no other way to price 2:8."""
    problem = Problem(np.random.default_rng(0).random((16, 40)), "2:8")
    result = solve(problem, "auto", time_limit=1.2, workers=2)
    assert result.stop_reason is StopReason.TIME
    assert result.value > problem.baseline


@pytest.mark.parametrize(
    ("obstacle", "fits", "seconds", "work", "device", "expected"),
    [
        (None, True, 60.0, 0.0, None, {"device": "cuda"}),
        ("no GPU", True, 60.0, 0.0, None, {}),
        (None, False, 60.0, 0.0, None, {}),
        (None, True, 1.0, 0.0, None, {}),
        (None, True, 60.0, 1e30, None, {}),
        (None, True, 60.0, 0.0, "cpu", {}),
        (None, True, 1.0, 1e30, "cuda", {"device": "cuda"}),
    ],
)
def test_a_gpu_is_used_where_it_is_worth_it(
    monkeypatch: pytest.MonkeyPatch,
    obstacle: str | None,
    fits: bool,
    seconds: float,
    work: float,
    device: str | None,
    expected: dict[str, str],
) -> None:
    """Where there is one, what is to be searched fits and is large, and there is time; or where it is asked for."""
    asked: list[tuple[str, dict[str, Any]]] = []

    class Recorder:
        def __init__(self, name: str, **options: Any) -> None:
            asked.append((name, options))

        def solve(self, problem: Problem, run: Run, /) -> Outcome:
            return Outcome()

    monkeypatch.setattr(auto, "get_solver", Recorder)
    monkeypatch.setattr(auto, "obstacle", lambda: obstacle)
    monkeypatch.setattr(auto, "check_device", lambda *_: None)
    monkeypatch.setattr(auto, "fits_device", lambda _: fits)
    monkeypatch.setattr(auto, "DEVICE_WORK", work)
    monkeypatch.setattr(auto, "PROOF_COLUMNS", 0)
    monkeypatch.setattr(auto, "SWAPS", 1e15)  # no time for as many
    problem = Problem(np.random.default_rng(0).random((auto.FEW_ROWS + 1, 20)), "2:4")
    auto.Auto(device=device).solve(problem, Run(problem, time_limit=seconds))
    assert asked == [("assignment", expected)]


@pytest.mark.parametrize(("share", "proves"), [(1.0, True), (0.0, False)])
def test_a_proof_is_tried_where_there_is_time_for_the_programme(
    monkeypatch: pytest.MonkeyPatch, share: float, proves: bool
) -> None:
    """Annealing alone where there is not: it has no use for a bound that takes much of its time."""
    asked: list[str] = []

    class Recorder:
        def __init__(self, name: str, **options: Any) -> None:
            asked.append(name)

        def solve(self, problem: Problem, run: Run, /) -> Outcome:
            return Outcome()

    monkeypatch.setattr(auto, "get_solver", Recorder)
    monkeypatch.setattr(auto, "PROGRAMME_SHARE", share)
    problem = Problem(np.random.default_rng(0).random((64, 64)), "2:4")
    auto.Auto().solve(problem, Run(problem, time_limit=5.0))
    assert asked == (["annealing", "column-generation", "annealing"] if proves else ["annealing"])
