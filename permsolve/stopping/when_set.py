"""Stop when somebody outside says so."""

from dataclasses import dataclass
from typing import Protocol

from permsolve.errors import InvalidOptionError
from permsolve.status import StopReason
from permsolve.stopping.criterion import Criterion, Progress


class Flag(Protocol):
    """What another thread sets, such as :class:`threading.Event`."""

    def is_set(self) -> bool:
        """Whether it is set."""


@dataclass(frozen=True)
class WhenSet(Criterion):
    """Stop once a flag is set: by another thread, or by the handler of a signal that the program has taken for itself.

    It is the way to end a search where Ctrl-C does not: outside the main thread, and under asyncio. A search with a
    time limit still plans by the clock.

    Parameters
    ----------
    flag : threading.Event
        Or anything else with ``is_set()``.

    Examples
    --------
    >>> import threading
    >>> from permsolve.stopping import WhenSet
    >>> enough = threading.Event()
    >>> criterion = WhenSet(enough)  # permsolve.solve(problem, time_limit=60, stop=criterion)
    >>> enough.set()  # ends the search, which returns the best found
    """

    flag: Flag

    def __post_init__(self) -> None:
        if not callable(getattr(self.flag, "is_set", None)):
            raise InvalidOptionError(f"WhenSet needs a threading.Event, got {self.flag!r}")

    def __call__(self, progress: Progress, /) -> StopReason | None:
        return StopReason.INTERRUPTED if self.flag.is_set() else None
