"""What one weight is worth: saliency functions, registered by name.

A saliency turns a weight matrix into non-negative scores of the same shape. The score of a set of
kept weights is the sum of theirs, so any additive measure can be registered and every solver takes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import UnknownSaliencyError

SaliencyFunction = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Saliency:
    """A named saliency.

    Parameters
    ----------
    name : str
        The name it is registered under.
    function : callable
        Takes a float32 or float64 matrix (rows, columns), returns scores >= 0 of the same shape.
    elementwise : bool
        Whether a score depends on its own weight only; then large weights are scored block by block.
    """

    name: str
    function: SaliencyFunction
    elementwise: bool = False


def _magnitude(weight: NDArray[Any]) -> NDArray[Any]:
    """Absolute value of each weight."""
    magnitude: NDArray[Any] = np.abs(weight)
    return magnitude


def _squared(weight: NDArray[Any]) -> NDArray[Any]:
    """Square of each weight, in float64 so that neither tiny nor huge float32 weights are lost."""
    with np.errstate(over="ignore"):  # an infinite score is refused by name later
        square: NDArray[Any] = np.square(weight, dtype=np.float64)
    return square


_REGISTRY: dict[str, Saliency] = {}


def register_saliency(name: str, function: SaliencyFunction, *, elementwise: bool = False) -> None:
    """Make ``function`` known as ``name`` to :meth:`Problem.from_weight` and the command line.

    Parameters
    ----------
    name : str
        Name to register.
    function : callable
        See :class:`Saliency`.
    elementwise : bool, default False
        See :class:`Saliency`.

    Raises
    ------
    ValueError
        When the name is taken by another function.
    """
    saliency = Saliency(name, function, elementwise)
    if _REGISTRY.setdefault(name, saliency) != saliency:
        raise ValueError(f"a saliency called {name!r} is registered already: choose another name")


register_saliency("magnitude", _magnitude, elementwise=True)
register_saliency("squared", _squared, elementwise=True)


def available_saliencies() -> tuple[str, ...]:
    """Names of the registered saliencies, sorted."""
    return tuple(sorted(_REGISTRY))


def get_saliency(saliency: str | SaliencyFunction) -> Saliency:
    """Look a saliency up by name; a callable is wrapped as it is.

    Raises
    ------
    UnknownSaliencyError
        When no saliency has this name.
    """
    if callable(saliency):
        return Saliency(getattr(saliency, "__name__", "custom"), saliency)
    try:
        return _REGISTRY[saliency]
    except (KeyError, TypeError):
        known = ", ".join(available_saliencies())
        raise UnknownSaliencyError(
            f"unknown saliency {saliency!r}: choose one of {known}, or give a function"
        ) from None
