"""Criteria made of criteria."""

from permsolve.errors import InvalidOptionError
from permsolve.status import StopReason
from permsolve.stopping.criterion import Criterion, Progress, StoppingCriterion, reason_of


class _Composite(Criterion):
    def __init__(self, *criteria: StoppingCriterion) -> None:
        for criterion in criteria:
            if not callable(criterion):
                raise InvalidOptionError(
                    f"{criterion!r} is not a stopping criterion: give a callable, for example MaxRuntime(10)"
                )
        self.criteria = criteria

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.criteria))})"


class AnyOf(_Composite):
    """Stop as soon as one of the criteria says so; its reason is given."""

    def __call__(self, progress: Progress, /) -> StopReason | None:
        for criterion in self.criteria:
            if reason := reason_of(criterion(progress)):
                return reason
        return None


class AllOf(_Composite):
    """Stop when every criterion says so; the last one's reason is given."""

    def __call__(self, progress: Progress, /) -> StopReason | None:
        # All are asked every time: a criterion may keep state of its own.
        reasons = [reason_of(criterion(progress)) for criterion in self.criteria]
        return reasons[-1] if reasons and all(reasons) else None
