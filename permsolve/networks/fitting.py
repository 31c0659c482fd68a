"""Whether axis groups that were made elsewhere are those of a model."""

from collections.abc import Iterable

from torch import nn

from permsolve.errors import InvalidSpecError
from permsolve.networks.applying import check_tensors
from permsolve.networks.spec import AxisUse, Spec
from permsolve.networks.trace.tensors import UNSAVED, Tensors, named_tensors


def check_fits(model: nn.Module, spec: Spec) -> None:
    """Refuse axis groups of another model, before anything is done with them.

    Names and shapes must be those of the model, its ties respected, and what is to move must be a tensor that can. A
    spec that fits may still be wrong about what the model computes: that is for verification to find, as far as the
    example reaches. Of parameters that it does not reach, whoever wrote the spec says that they follow as it states.

    Raises
    ------
    InvalidSpecError
        With the first thing that does not fit.
    """
    check_tensors(model, spec, spec.shapes)
    tensors = named_tensors(model)
    for alias, owner in spec.aliases.items():
        known = tensors.owner.get(alias)
        if known is not None and owner in tensors.owner:
            one, other = (tuple(tensors.tensors[tensors.owner[name]].shape) for name in (alias, owner))
            if one != other:
                raise InvalidSpecError(
                    f"the axis groups say that {alias!r} is tied to {owner!r}, but their shapes are {one} and {other}"
                )
    for group in spec.groups:
        for use in group.uses:
            if use.name in tensors.owner:
                _check_use(use, tensors)
    _check_ties(spec, tensors)
    modules = {name for name, _ in model.named_modules(remove_duplicate=False)}
    for weight, reader in spec.readers.items():
        missing = next((layer for layer in reader.layers if layer not in modules), None)
        if missing is not None:
            raise InvalidSpecError(f"the axis groups say that layer {missing!r} reads {weight!r}, but there is none")


def _check_use(use: AxisUse, tensors: Tensors) -> None:
    """Refuse a tensor that cannot follow."""
    owner = tensors.owner[use.name]
    tensor, held = tensors.tensors[owner], tensors.fixed.get(owner, UNSAVED)
    if held != UNSAVED:
        raise InvalidSpecError(f"the axis groups move {use.name!r}, which is held by {held}")
    if use.values and not tensor.is_meta and tensor.numel():
        whole = not (tensor.is_floating_point() or tensor.is_complex())
        if not whole or not 0 <= int(tensor.min()) <= int(tensor.max()) < tensor.shape[use.axis]:
            raise InvalidSpecError(
                f"the axis groups say that {use.name!r} is an index whose values are positions "
                f"0 .. {tensor.shape[use.axis] - 1}, but it holds others"
            )


def _check_ties(spec: Spec, tensors: Tensors) -> None:
    """Refuse groups that move one tensor in two ways, under two of its names."""
    ways: dict[str, dict[str, set[object]]] = {}
    for group in spec.groups:
        for use in group.uses:
            if use.name in tensors.owner:
                way = (group.name, use.axis, use.rows, use.values, use.positions.tobytes())
                ways.setdefault(tensors.owner[use.name], {}).setdefault(use.name, set()).add(way)
    for names in ways.values():
        first, *others = names
        for other in _different(names[first], {name: names[name] for name in others}):
            raise InvalidSpecError(
                f"{first!r} and {other!r} are one tensor in the model, but the axis groups move them in two ways"
            )


def _different(way: set[object], others: dict[str, set[object]]) -> Iterable[str]:
    return (name for name, theirs in others.items() if theirs != way)
