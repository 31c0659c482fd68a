"""Which weights of a network can be pruned, and choosing some of them by name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from permsolve.checks import require
from permsolve.errors import InvalidOptionError
from permsolve.networks.constants import constants
from permsolve.networks.layers import PLAIN, Layout, weights_of

WEIGHT = "weight"

NameFilter = str | Iterable[str] | Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class PrunableWeight:
    """A weight of a layer of a registered kind (:mod:`permsolve.networks.layers`).

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
    attribute : str
        What the layer calls it.
    layout : Layout
        How it is stored.
    """

    name: str
    module_name: str
    module: nn.Module
    parameter: str | None
    attribute: str = WEIGHT
    layout: Layout = PLAIN

    @property
    def stored(self) -> Tensor:
        """The weight as the layer uses it, as it is stored."""
        tensor = getattr(self.module, self.attribute)
        assert isinstance(tensor, Tensor)
        return tensor

    @property
    def tensor(self) -> Tensor:
        """The weight as the layer uses it, of shape (out, in / groups, k...); a view where that is possible."""
        return self.layout.matrix(self.stored)

    @property
    def groups(self) -> int:
        """In how many parts of equal size the rows of :attr:`tensor` fall that each read inputs of their own."""
        if self.layout.divided:
            return self.layout.parts(tuple(self.stored.shape))
        return int(getattr(self.module, "groups", 1))

    def sources(self) -> tuple[nn.Parameter, ...]:
        """The parameters that the weight is, or is computed from, whatever it is under now."""
        source, _ = _source(self.module, self.module_name, self.attribute)
        if isinstance(source, nn.Parameter):
            return (source,)
        if isinstance(source, parametrize.ParametrizationList):
            return tuple(source.parameters())
        own = self.module.named_parameters(recurse=False)  # a hook computes it from weight_v and weight_g, or the like
        return tuple(parameter for name, parameter in own if name.startswith(f"{self.attribute}_"))

    def as_stored(self, matrix: Tensor) -> Tensor:
        """What has the shape of :attr:`tensor`, as the weight is stored."""
        return self.layout.stored(matrix, tuple(self.stored.shape))


def prunable_weights(
    model: nn.Module, include: NameFilter | None = None, exclude: NameFilter | None = None
) -> tuple[PrunableWeight, ...]:
    """Weights of the layers of a model whose kinds are registered, in the order of ``model.named_modules()``.

    A weight that several layers share is listed once, under the first name. Frozen constants
    (:mod:`permsolve.networks.constants`) are left out unless ``include`` names them.

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
    weights = all_weights(model)
    if include is not None:
        included = _chosen(weights, include, "include")
    else:
        included = {weight.name for weight in weights} - constant_weights(weights)
    excluded = _chosen(weights, exclude, "exclude") if exclude is not None else set()
    return tuple(weight for weight in weights if weight.name in included - excluded)


def all_weights(model: nn.Module) -> tuple[PrunableWeight, ...]:
    """Those of :func:`prunable_weights`, with frozen constants."""
    return tuple(first for first, *_ in _found(model))


def constant_weights(weights: Iterable[PrunableWeight]) -> frozenset[str]:
    """Names of those among all weights of a model that are frozen constants."""
    sources = {weight.name: weight.sources() for weight in weights}
    trained = any(source.requires_grad for several in sources.values() for source in several)
    frozen = {
        name: several[0] for name, several in sources.items() if len(several) == 1 and not several[0].requires_grad
    }
    others = [source for name, several in sources.items() if name not in frozen for source in several]
    return constants(frozen, sum(source.numel() for source in others if not is_lazy(source)), trained=trained)


def layouts_of(model: nn.Module, aliases: Mapping[str, str]) -> dict[str, Layout]:
    """Parameters that are not stored as (out, in, kernel...) -> how they are; ``aliases`` says under which names."""
    return {
        aliases.get(weight.parameter, weight.parameter): weight.layout
        for weight in all_weights(model)
        if weight.parameter is not None and not weight.layout.plain
    }


def places_of(model: nn.Module) -> dict[str, tuple[PrunableWeight, ...]]:
    """Name of each weight -> the weight in all layers that have it."""
    return {first.name: (first, *others) for first, *others in _found(model)}


def _found(model: nn.Module) -> list[list[PrunableWeight]]:
    """Each weight, once for all layers that have it, told apart by what it is made from."""
    found: dict[tuple[int, str], list[PrunableWeight]] = {}
    for module_name, module in model.named_modules():
        for attribute, layout in weights_of(module).items():
            tensor = getattr(module, attribute, None)
            if not isinstance(layout, Layout) or not isinstance(tensor, Tensor) or not _fits(layout, tensor):
                continue
            name = f"{module_name}.{attribute}" if module_name else attribute
            source, parameter = _source(module, module_name, attribute)
            weight = PrunableWeight(name, module_name, module, parameter, attribute, layout)
            key = id(source), attribute if source is module else ""
            found.setdefault(key, []).append(weight)
    return list(found.values())


def _fits(layout: Layout, tensor: Tensor) -> bool:
    """Whether a weight has the axes of its layout; one whose shape is not known yet may."""
    return layout.plain or is_lazy(tensor) or layout.fits(tensor)


def _source(module: nn.Module, module_name: str, attribute: str) -> tuple[object, str | None]:
    """What makes two weights the same one, and the name of the parameter behind it."""
    prefix = f"{module_name}." if module_name else ""
    if attribute in module._parameters:
        return module._parameters[attribute], f"{prefix}{attribute}"
    if parametrize.is_parametrized(module, attribute):
        sources = module.get_submodule(f"parametrizations.{attribute}")
        originals = dict(sources.named_parameters(recurse=False))
        if list(originals) == ["original"]:
            return originals["original"], f"{prefix}parametrizations.{attribute}.original"
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
                f"{argument}={pattern!r} matches no layer with a weight: there are {known or 'none'}"
                f"{', ...' if len(weights) > 8 else ''}"
            )
        chosen |= matched
    return chosen
