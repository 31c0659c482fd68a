"""One entry: a value, who found it, and the permutation by which anyone can check it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.instances import UnknownInstanceError, get_instance
from bench.runner import Row, unpack_permutation
from bench.runner.rescoring import TOLERANCE, WrongValueError, check_optimum, check_value, kept_magnitude
from permsolve import Problem, solve
from permsolve.errors import PermsolveError


class WrongEntryError(PermsolveError, ValueError):
    """An entry of the file does not hold."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The best value known of an instance.

    Attributes
    ----------
    value : float
        What the permutation keeps.
    proven : bool
        Whether a solver has proven that no permutation keeps more.
    solver : str
        Who found it; ``options``, ``seed``, ``workers``, ``seconds``, ``date`` and ``revision`` say how and when.
    permutation : str
        As in the rows of a run (:func:`bench.runner.unpack_permutation`).
    """

    value: float
    proven: bool
    solver: str
    options: Mapping[str, Any]
    seed: int
    workers: int
    seconds: float
    date: str
    revision: str
    permutation: str

    @classmethod
    def of_row(cls, row: Row) -> "Entry":
        """What a finished row of a run found."""
        return cls(
            value=row["value"],
            proven=row["status"] == "OPTIMAL",
            solver=row["solver"],
            options=row["options"],
            seed=row["seed"],
            workers=row["workers"],
            seconds=round(row["runtime"], 3),
            date=row["started"][:10],
            revision=row["revision"],
            permutation=row["permutation"],
        )


def check_entry(name: str, entry: Entry) -> None:
    """Make the instance anew, and compute what the permutation keeps of it.

    Raises
    ------
    WrongEntryError
        When there is no such instance, the permutation is none of its columns or keeps something else, or a known
        optimum is at odds with it.
    """
    try:
        instance = get_instance(name)
        weight = instance.make()
        order = unpack_permutation(entry.permutation, instance.columns)
        check_value(entry.value, kept_magnitude(weight, order, instance.pattern.n, instance.pattern.m))
        if instance.optimum is not None:
            check_optimum(entry.value, entry.value if entry.proven else float("inf"), instance.optimum)
    except (UnknownInstanceError, WrongValueError, ValueError, TypeError) as error:
        raise WrongEntryError(f"best known value of {name}: {error}") from error


def prove_entry(name: str, entry: Entry, seconds: float) -> bool:
    """Whether a solver proves the value again, starting from its permutation, within some seconds.

    Raises
    ------
    WrongEntryError
        When it finds a better permutation although the entry says there is none.
    """
    instance = get_instance(name)
    order = unpack_permutation(entry.permutation, instance.columns)
    result = solve(Problem.from_weight(instance.make(), instance.pattern), time_limit=seconds, initial=order)
    if result.value > entry.value * (1.0 + TOLERANCE):
        raise WrongEntryError(f"best known value of {name}: {entry.value!r} is not optimal, {result.value!r} was found")
    return result.status == "OPTIMAL"
