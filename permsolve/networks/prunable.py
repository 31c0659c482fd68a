"""Which weights of a network can be pruned, and choosing some of them by name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from permsolve.checks import require
from permsolve.errors import InvalidOptionError

PRUNABLE_TYPES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
WEIGHT = "weight"

NameFilter = str | Iterable[str] | Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class PrunableWeight:
    """The weight of a linear or convolution layer.

    Attributes
    ----------
    name : str
        What it is called, ``layer.weight``, whether or not it is parametrized.
    module_name : str
        Qualified name of the layer, empty when the layer is the model itself.
    module : Module
        The layer.
    parameter : str or None
        Qualified name of the one parameter that the weight is, or is made from (under a mask
        ``layer.parametrizations.weight.original``); None when it is computed from several, or by a hook.
    """

    name: str
    module_name: str
    module: nn.Module
    parameter: str | None

    @property
    def tensor(self) -> Tensor:
        """The weight as the layer uses it, shape (out, in / groups, k...)."""
        tensor = getattr(self.module, WEIGHT)
        assert isinstance(tensor, Tensor)
        return tensor


def prunable_weights(
    model: nn.Module, include: NameFilter | None = None, exclude: NameFilter | None = None
) -> tuple[PrunableWeight, ...]:
    """Weights of the Linear and Conv1d/2d/3d layers of a model, in the order of ``model.named_modules()``.

    A weight that several layers share is listed once, under the first name.

    Parameters
    ----------
    model : Module
        The model.
    include, exclude : str, iterable of str, or callable, optional
        Glob patterns (``"layers.*.mlp.*"``) that are held against the name of the layer and of its weight, or a
        function from the name of the layer to whether it is meant. Without ``include`` all are; ``exclude`` wins.

    Raises
    ------
    InvalidOptionError
        When a pattern is no text, or matches no layer, since that is a typing error.
    """
    weights = tuple(weight for weight, _ in _found(model).values())
    included = _chosen(weights, include, "include") if include is not None else {weight.name for weight in weights}
    excluded = _chosen(weights, exclude, "exclude") if exclude is not None else set()
    return tuple(weight for weight in weights if weight.name in included - excluded)


def layers_of(model: nn.Module) -> dict[str, tuple[nn.Module, ...]]:
    """Name of each weight of :func:`prunable_weights` -> all layers that have it."""
    return {weight.name: tuple(layers) for weight, layers in _found(model).values()}


def _found(model: nn.Module) -> dict[int, tuple[PrunableWeight, list[nn.Module]]]:
    """Each weight with all layers that have it, by the identity of what it is made from."""
    found: dict[int, tuple[PrunableWeight, list[nn.Module]]] = {}
    for module_name, module in model.named_modules():
        if isinstance(module, PRUNABLE_TYPES) and isinstance(getattr(module, WEIGHT, None), Tensor):
            name = f"{module_name}.{WEIGHT}" if module_name else WEIGHT
            source, parameter = _source(module, module_name)
            weight = PrunableWeight(name, module_name, module, parameter)
            found.setdefault(id(source), (weight, []))[1].append(module)
    return found


def _source(module: nn.Module, module_name: str) -> tuple[object, str | None]:
    """What makes two weights the same one, and the name of the parameter behind it."""
    prefix = f"{module_name}." if module_name else ""
    if WEIGHT in module._parameters:
        return module._parameters[WEIGHT], f"{prefix}{WEIGHT}"
    if parametrize.is_parametrized(module, WEIGHT):
        sources = module.get_submodule(f"parametrizations.{WEIGHT}")
        originals = dict(sources.named_parameters(recurse=False))
        if list(originals) == ["original"]:
            return originals["original"], f"{prefix}parametrizations.{WEIGHT}.original"
        return sources, None
    return module, None


def _chosen(weights: tuple[PrunableWeight, ...], names: NameFilter, argument: str) -> set[str]:
    if callable(names):
        return {weight.name for weight in weights if names(weight.module_name)}
    chosen: set[str] = set()
    patterns: list[Any] = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else [names]
    for pattern in patterns:
        require(isinstance(pattern, str), argument, "a name, a list of names, or a function of the name", pattern)
        matched = {
            weight.name
            for weight in weights
            if fnmatchcase(weight.module_name, pattern) or fnmatchcase(weight.name, pattern)
        }
        if not matched:
            known = ", ".join(weight.module_name or "(the model itself)" for weight in weights[:8])
            raise InvalidOptionError(
                f"{argument}={pattern!r} matches no Linear or convolution layer: there are {known or 'none'}"
                f"{', ...' if len(weights) > 8 else ''}"
            )
        chosen |= matched
    return chosen
