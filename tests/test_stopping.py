"""Each stopping criterion by itself and composed, on hand-made progress; no clock is involved."""

from dataclasses import replace
from typing import Any

import pytest

from permsolve.errors import InvalidOptionError
from permsolve.status import StopReason
from permsolve.stopping import AllOf, AnyOf, Gap, MaxIterations, MaxRuntime, NoImprovement, Progress, Target
from permsolve.stopping.criterion import Criterion, reason_of

START = Progress(elapsed=0.0, iteration=0, value=10.0, bound=20.0, last_improvement=0, last_improvement_time=0.0)


@pytest.mark.parametrize(
    ("criterion", "goes_on", "stops", "reason"),
    [
        (MaxRuntime(2.0), {"elapsed": 1.9}, {"elapsed": 2.0}, StopReason.TIME),
        (MaxIterations(5), {"iteration": 4}, {"iteration": 5}, StopReason.ITERATIONS),
        (Target(15.0), {"value": 14.9}, {"value": 15.0}, StopReason.TARGET),
        (Gap(0.25), {"value": 15.9}, {"value": 16.0}, StopReason.GAP),
        (
            NoImprovement(3),
            {"iteration": 12, "last_improvement": 10},
            {"iteration": 13, "last_improvement": 10},
            StopReason.NO_IMPROVEMENT,
        ),
        (
            NoImprovement(seconds=1.0),
            {"elapsed": 5.5, "last_improvement_time": 5.0},
            {"elapsed": 6.0, "last_improvement_time": 5.0},
            StopReason.NO_IMPROVEMENT,
        ),
    ],
)
def test_each_criterion_stops_at_its_limit(
    criterion: Criterion, goes_on: dict[str, Any], stops: dict[str, Any], reason: StopReason
) -> None:
    """Not before it, and for its own reason."""
    assert criterion(replace(START, **goes_on)) is None
    assert criterion(replace(START, **stops)) is reason


def test_no_improvement_stops_at_the_first_of_its_two_limits() -> None:
    """Either may be reached alone."""
    criterion = NoImprovement(iterations=10, seconds=1.0)
    assert criterion(replace(START, iteration=9, elapsed=0.9)) is None
    assert criterion(replace(START, iteration=10)) is StopReason.NO_IMPROVEMENT
    assert criterion(replace(START, elapsed=1.0)) is StopReason.NO_IMPROVEMENT


def test_a_gap_of_zero_stops_at_the_bound() -> None:
    """Also where nothing can be kept at all."""
    assert Gap(0.0)(replace(START, value=20.0)) is StopReason.GAP
    assert Gap(0)(replace(START, value=0.0, bound=0.0)) is StopReason.GAP


def test_or_stops_at_the_first() -> None:
    """And gives the reason of the one that holds."""
    either = MaxIterations(5) | Target(15.0) | (lambda progress: progress.elapsed > 9)
    assert either(START) is None
    assert either(replace(START, iteration=5)) is StopReason.ITERATIONS
    assert either(replace(START, value=15.0)) is StopReason.TARGET
    assert either(replace(START, elapsed=10.0)) is StopReason.CRITERION


def test_plain_functions_take_part_on_either_side() -> None:
    """A function has no operators of its own."""

    def never(progress: Progress) -> bool:
        return False

    late = replace(START, elapsed=9.0)
    for criterion in (never | MaxRuntime(2.0), MaxRuntime(2.0) | never):
        assert criterion(late) is StopReason.TIME
    for every in (never & MaxRuntime(2.0), MaxRuntime(2.0) & never):
        assert every(late) is None


def test_and_stops_when_all_agree() -> None:
    """And gives the reason of the last."""
    both = MaxIterations(5) & Target(15.0)
    assert both(replace(START, iteration=5)) is None
    assert both(replace(START, value=15.0)) is None
    assert both(replace(START, iteration=5, value=15.0)) is StopReason.TARGET


def test_all_criteria_are_asked_every_time() -> None:
    """A criterion with a state of its own does not miss a call, whatever the others say."""
    calls = []

    def counting(progress: Progress) -> bool:
        calls.append(progress.iteration)
        return False

    AllOf(MaxIterations(5), counting)(START)
    assert calls == [0]


def test_composites_of_nothing_never_stop() -> None:
    """There is no criterion that could hold."""
    assert AnyOf()(START) is None
    assert AllOf()(START) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(None, None), (False, None), (True, StopReason.CRITERION), (StopReason.TIME, StopReason.TIME)],
)
def test_plain_answers_become_reasons(answer: StopReason | bool | None, reason: StopReason | None) -> None:
    """A user's function may answer True or False."""
    assert reason_of(answer) is reason


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (make, wrong)
        for make in (MaxRuntime, Gap, MaxIterations)
        for wrong in (-1, float("nan"), float("inf"), "3", None, True)
    ]
    + [
        (MaxIterations, 2.5),
        (Target, "3"),
        (Target, float("nan")),
        (Target, None),
        (NoImprovement, -1),
        (NoImprovement, 1.5),
    ],
)
def test_wrong_limits_are_refused(make: Any, wrong: Any) -> None:
    """When the criterion is made, not in the middle of a search."""
    with pytest.raises(InvalidOptionError, match=r"number|needs iterations or seconds"):
        make(wrong)


def test_no_improvement_needs_a_limit() -> None:
    """Without one it could never stop."""
    with pytest.raises(InvalidOptionError, match="needs iterations or seconds"):
        NoImprovement()


def test_what_is_no_criterion_cannot_be_composed() -> None:
    """A number is a common slip for MaxRuntime."""
    with pytest.raises(InvalidOptionError, match="not a stopping criterion"):
        _ = MaxIterations(5) | 10  # type: ignore[operator]


def test_criteria_show_themselves() -> None:
    """For logs and error messages."""
    assert repr(MaxIterations(5) | Gap(0.1)) == "AnyOf(MaxIterations(iterations=5), Gap(ratio=0.1))"
