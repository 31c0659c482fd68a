"""Kinds of layers: which of their parameters are weights that inputs are multiplied by, and how these are stored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from permsolve.checks import require
from permsolve.networks.layers.layout import PLAIN, Layout


@dataclass(frozen=True, slots=True)
class Unpruned:
    """Why a parameter of a layer is never pruned.

    Attributes
    ----------
    reason : str
        In plain words.
    multiplied : bool, default True
        Whether inputs are multiplied by it, as by a weight that could be pruned.
    """

    reason: str
    multiplied: bool = True


# Attribute of a layer -> how the weight is stored there, or why it is not pruned.
Weights = Mapping[str, Layout | Unpruned]
WeightsOf = Callable[[nn.Module], Weights]


@dataclass(frozen=True, slots=True)
class LayerKind:
    """What is known of the layers of a class.

    Attributes
    ----------
    weights : mapping, or callable
        Attribute -> how the weight is stored, or why it is not pruned; a function gives that for one layer.
    reads_input : bool
        Whether ``forward`` multiplies its first argument by the weight, and by nothing else.
    """

    weights: Weights | WeightsOf
    reads_input: bool = False

    def of(self, layer: nn.Module) -> Weights:
        """The weights of one layer."""
        return self.weights(layer) if callable(self.weights) else self.weights


# By name of the class, with its module: packages that have some of them are not imported for this.
_KINDS: dict[str, LayerKind] = {}
# What recognises layers of further classes by what they look like.
_LOOKS: list[WeightsOf] = []


def register_layer_kind(
    layer: type[nn.Module] | str,
    weights: Weights | WeightsOf | None = None,
    *,
    reads_input: bool = False,
) -> None:
    """Have the weights of a class of layers, and of its subclasses, pruned and counted; in this process.

    Parameters
    ----------
    layer : type or str
        The class, or where it is defined (``"package.module.Class"``), so that the package need not be imported.
    weights : mapping, or callable, optional
        Attribute -> :class:`Layout`, which of its axes is which; or :class:`Unpruned`, why it is left as it is. Or a
        function of a layer that returns that. Default: ``weight``, stored as (out, in) or (out, in, kernel...).
    reads_input : bool, default False
        Whether ``forward`` multiplies its first argument, of shape (..., in), by the one weight and by nothing else:
        then :func:`permsolve.networks.calibrate` knows what the layer reads. It no longer holds for a subclass with a
        ``forward`` of its own.

    Raises
    ------
    InvalidOptionError
        When an argument is of another kind.

    Notes
    -----
    A class that is registered already gets the new kind. Of several registered base classes the nearest counts. The
    axis groups of a network are found without this: a kind says along which axis the pattern runs.

    Examples
    --------
    >>> import torch
    >>> from permsolve.networks import Layout, prune_, register_layer_kind
    >>> class Backwards(torch.nn.Module):
    ...     def __init__(self) -> None:
    ...         super().__init__()
    ...         self.kernel = torch.nn.Parameter(torch.randn(8, 4))
    ...     def forward(self, x):
    ...         return x @ self.kernel
    >>> register_layer_kind(Backwards, {"kernel": Layout(out=1, input=0)}, reads_input=True)
    >>> list(prune_(Backwards()))
    ['kernel']
    """
    given = {"weight": PLAIN} if weights is None else weights
    good = isinstance(layer, str) or (isinstance(layer, type) and issubclass(layer, nn.Module))
    require(good, "layer", "a class of modules, or its name", layer)
    if isinstance(given, Mapping):
        fine = all(isinstance(one, Layout | Unpruned) for one in given.values())
        require(fine, "weights", "attributes with their Layout or Unpruned", given)
    else:
        require(callable(given), "weights", "attributes with their Layout, or a function that returns them", given)
    _KINDS[layer if isinstance(layer, str) else _name(layer)] = LayerKind(given, reads_input)


def register_looks(weights: WeightsOf) -> None:
    """Have a function say the weights of layers whose class is not registered; of others it returns nothing."""
    _LOOKS.append(weights)


def weights_of(layer: nn.Module) -> Weights:
    """The weights of a layer by attribute, those that it lacks included; none when its class is not known."""
    base = _registered(layer)
    if base is not None:
        return _KINDS[_name(base)].of(layer)
    return next((found for look in _LOOKS if (found := look(layer))), {})


def reads_input(layer: nn.Module) -> bool:
    """Whether a layer multiplies its weight by exactly what it is called with."""
    base = _registered(layer)
    if base is None or not _KINDS[_name(base)].reads_input or "forward" in vars(layer):
        return False
    return type(layer).forward is base.forward


def _registered(layer: nn.Module) -> type[nn.Module] | None:
    """The nearest base class that is registered."""
    return next((base for base in type(layer).__mro__ if _name(base) in _KINDS), None)


def _name(layer: type) -> str:
    return f"{layer.__module__}.{layer.__qualname__}"
