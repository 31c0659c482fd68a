"""Names of saliencies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from permsolve.checks import require
from permsolve.errors import UnknownSaliencyError
from permsolve.moments import InputMoments

SaliencyFunction = Callable[[NDArray[Any]], NDArray[Any]]
CalibratedFunction = Callable[[NDArray[Any], InputMoments], NDArray[Any]]
Needs = Literal["mean_square", "second_moment"]


@dataclass(frozen=True, slots=True)
class Saliency:
    """A named saliency.

    Parameters
    ----------
    name : str
        The name it is registered under.
    function : callable
        Takes a float32 or float64 matrix (rows, columns), returns scores >= 0 of the same shape. A calibrated one
        takes the flat weight (outputs, d) of one group of the layer and the moments of what this group reads.
    elementwise : bool
        Whether a score depends on its own weight (and on its inputs) only; then large weights are scored block by
        block.
    needs : {"mean_square", "second_moment"} or None
        What a calibrated saliency needs to know of the layer's inputs.
    """

    name: str
    function: Callable[..., NDArray[Any]]
    elementwise: bool = False
    needs: Needs | None = None

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and bool(self.name), "the name of a saliency", "text", self.name)
        require(callable(self.function), f"saliency {self.name!r}", "a function", self.function)
        kinds = (None, "mean_square", "second_moment")
        require(self.needs in kinds, "needs", "None, 'mean_square' or 'second_moment'", self.needs)


# How a saliency may be given: by name, as a function of the weight, or whole.
AnySaliency = str | SaliencyFunction | Saliency

_REGISTRY: dict[str, Saliency] = {}


def register_saliency(
    name: str,
    function: SaliencyFunction | CalibratedFunction,
    *,
    elementwise: bool = False,
    needs: Needs | None = None,
) -> None:
    """Make ``function`` known as ``name`` to :meth:`Problem.from_weight` and the command line.

    Parameters
    ----------
    name : str
        Name to register.
    function : callable
        See :class:`Saliency`.
    elementwise : bool, default False
        See :class:`Saliency`.
    needs : {"mean_square", "second_moment"}, optional
        See :class:`Saliency`.

    Raises
    ------
    InvalidOptionError
        When the name is no text, the function none, or what it needs is not known.
    ValueError
        When the name is taken by another function.
    """
    saliency = Saliency(name, function, elementwise, needs)
    if _REGISTRY.setdefault(name, saliency) != saliency:
        raise ValueError(f"a saliency called {name!r} is registered already: choose another name")


def available_saliencies() -> tuple[str, ...]:
    """Names of the registered saliencies, sorted."""
    return tuple(sorted(_REGISTRY))


def registered_name(saliency: Saliency) -> str | None:
    """The name that finds a saliency again, None for a function of the caller's own."""
    return saliency.name if _REGISTRY.get(saliency.name) == saliency else None


def get_saliency(saliency: AnySaliency) -> Saliency:
    """Look a saliency up by name; a callable is wrapped, and a :class:`Saliency` is taken, as it is.

    Raises
    ------
    UnknownSaliencyError
        When no saliency has this name.
    """
    if isinstance(saliency, Saliency):
        return saliency
    if callable(saliency):
        return Saliency(getattr(saliency, "__name__", "custom"), saliency)
    try:
        return _REGISTRY[saliency]
    except (KeyError, TypeError):
        known = ", ".join(available_saliencies())
        raise UnknownSaliencyError(
            f"unknown saliency {saliency!r}: choose one of {known}, or give a function"
        ) from None
