"""One benchmark instance: known by its name, made only when asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from permsolve import Pattern, Problem


@dataclass(frozen=True, slots=True)
class Instance:
    """A weight and a pattern that anyone can make again from the name.

    Attributes
    ----------
    name : str
        The whole name, which gives this instance back from :func:`bench.instances.get_instance`; that of a file's
        instance says what it is, but not where the file lies.
    family : str
        What kind of matrix it is.
    rows, columns : int
        Shape of the problem.
    pattern : Pattern
        Its pattern.
    make : callable
        Returns the weight. It pickles, so that an instance can be sent to another process.
    make_optimum : callable or None
        Returns the greatest value that a permutation can reach, where the way that the weight is made tells it.
    source : str
        The user's own file that it is read from; empty for one that can be made from its name.
    stamp : str
        Size and date of that file.
    """

    name: str
    family: str
    rows: int
    columns: int
    pattern: Pattern
    make: Callable[[], NDArray[Any]]
    make_optimum: Callable[[], float] | None = None
    source: str = ""
    stamp: str = ""

    @property
    def optimum(self) -> float | None:
        """The known optimum, None when it is not known; found anew at each call."""
        return None if self.make_optimum is None else self.make_optimum()

    def load(self) -> Problem:
        """The problem."""
        return Problem.from_weight(self.make(), self.pattern)
