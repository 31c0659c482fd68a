"""The protocol of stopping criteria and what they may look at."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from permsolve.status import StopReason

if TYPE_CHECKING:
    from permsolve.stopping.compose import AllOf, AnyOf


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a search stands.

    Attributes
    ----------
    elapsed : float
        Seconds since the search began.
    iteration : int
        Iterations done so far, in the solver's own unit (see each solver's docstring).
    value : float
        Saliency kept by the best permutation so far.
    bound : float
        Best valid upper bound so far.
    last_improvement : int
        Iteration at which the best value was last improved.
    last_improvement_time : float
        Seconds since the search began at which it was.
    """

    elapsed: float
    iteration: int
    value: float
    bound: float
    last_improvement: int
    last_improvement_time: float


class StoppingCriterion(Protocol):
    """Tells whether to stop; a plain function of a :class:`Progress` will do."""

    def __call__(self, progress: Progress, /) -> StopReason | bool | None:
        """Return the reason to stop (or True), or None (or False) to go on."""


class Criterion:
    """Base of permsolve's own criteria: adds ``|`` (stop at the first) and ``&`` (stop when all agree)."""

    def __call__(self, progress: Progress, /) -> StopReason | bool | None:
        raise TypeError(f"{type(self).__name__} does not say when to stop: define __call__(progress)")

    def __or__(self, other: StoppingCriterion) -> "AnyOf":
        from permsolve.stopping.compose import AnyOf

        return AnyOf(self, other)

    def __ror__(self, other: StoppingCriterion) -> "AnyOf":
        from permsolve.stopping.compose import AnyOf

        return AnyOf(other, self)

    def __rand__(self, other: StoppingCriterion) -> "AllOf":
        from permsolve.stopping.compose import AllOf

        return AllOf(other, self)

    def __and__(self, other: StoppingCriterion) -> "AllOf":
        from permsolve.stopping.compose import AllOf

        return AllOf(self, other)


def reason_of(answer: StopReason | bool | None) -> StopReason | None:
    """Normalise what a criterion answered."""
    if isinstance(answer, StopReason):
        return answer
    return StopReason.CRITERION if answer else None
