"""What no example reaches, and which channels that may share.

A trace knows what the calls of the example do, and nothing of other calls. A parameter that they do not read belongs
to some other code: a second head, a discriminator, a switched-off adapter, a tower for other inputs. That code is
unknown, so that any tensor that it can get hold of may be read by it in an order that nobody told us. Whether sizes
fit says little, since tensors are sliced, flattened and put side by side. What counts is who can get hold of what:

- A tensor inside a network is seen by the code that makes it, by the code that reads it, and by that which gets it
  from a module's return, from an attribute in which it was kept, or through a hook (:mod:`observing`). The innermost
  module around all of these is the *scope* of its channels, together with all that is tied to them.
- An unreached parameter belongs to a module, and is used by the code of that module or of a module around it. When it
  lies within the scope of some channels, this code may see these channels: they stay in order. When it lies
  elsewhere, code that reads both would have to reach into the middle of a module, all of which the example has run:
  these channels are free. So the inner axis of a feed-forward block moves, though the model has a head that the
  example does not reach, and the axis that the head could read does not.
- A tied parameter is unreached under the name of a layer that was not called, unless that is a table of embeddings.
- Containers without code of their own (``Sequential``, ``ModuleList``) do not count as modules: who owns them may run
  a part of them, as ``self.body[:2](x)``.
- What has one entry, or none, has no order, and holds nothing.
- A buffer that is not saved with the weights is a constant that its class computes (a mask, a table of positions or
  of frequencies). It holds channels within whose scope it lies only when it has an axis of their length and is no
  mask (of bools).
- A parameter that is not registered (``self.heads = [nn.Linear(8, 2)]``) is unreached like any other, and a tensor
  that is an attribute of its own counts as such a constant.
- Entries of a tensor of which the example reads others (``weight[:, :8]``) are not reached, either.

What remains is code that reads channels without having a parameter of its own, such as a method that returns a hidden
tensor. Nothing in the model shows it; give its call as a further example.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from permsolve.networks.symmetry.structure import Indices, Structure
from permsolve.networks.trace.export import PREFIX, Exported, constants
from permsolve.networks.trace.nodes import operator_name
from permsolve.networks.trace.places import Places
from permsolve.networks.trace.propagate import SILENT
from permsolve.networks.trace.scopes import Scopes
from permsolve.networks.trace.tensors import UNSAVED, Tensors
from permsolve.networks.trace.unregistered import unregistered

REMEDY = "give several examples, of which one reaches it (example_inputs=[(...), {...}])"
UNREACHED = "the example inputs, which do not reach it"


@dataclass(frozen=True, slots=True)
class Unreached:
    """A tensor that no example reaches.

    Attributes
    ----------
    name : str
        The name that stands for it.
    names : tuple of str
        All its names.
    lengths : frozenset of int, or None
        Lengths of axes that it may share; None for any.
    """

    name: str
    names: tuple[str, ...]
    lengths: frozenset[int] | None


def reached(tensors: Tensors, traced: Iterable[Exported]) -> set[str]:
    """First names of the parameters and buffers that some operator of some graph reads or writes."""
    found: set[str] = set()
    for one in traced:
        signature = one.program.graph_signature
        names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        read = {
            names[node.name]
            for node in one.program.graph.nodes
            if node.op == "placeholder" and node.name in names and any(_computes(user) for user in node.users)
        }
        read |= {names[spec.arg.name] for spec in _returned(one) if getattr(spec.arg, "name", None) in names}
        written = {*signature.buffers_to_mutate.values(), *getattr(signature, "parameters_to_mutate", {}).values()}
        found |= {tensors.owner.get(name, name) for name in (full.removeprefix(PREFIX) for full in read | written)}
    return found


def _returned(traced: Exported) -> list[Any]:
    """The model's own outputs."""
    specs = [spec for spec in traced.program.graph_signature.output_specs if spec.kind.name == "USER_OUTPUT"]
    return specs[: traced.outputs.num_leaves]


def _computes(node: torch.fx.Node) -> bool:
    return node.op == "call_function" and operator_name(node) not in SILENT


def unreached(model: nn.Module, tensors: Tensors, traced: Sequence[Exported], places: Places) -> tuple[Unreached, ...]:
    """The tensors that no example reaches, but for those that are too small to have an order."""
    touched = reached(tensors, traced)
    names: dict[str, list[str]] = {}
    for alias, owner in tensors.owner.items():
        names.setdefault(owner, []).append(alias)
    found: list[Unreached] = []
    for name, tensor in tensors.tensors.items():
        if name in touched or tensor.numel() <= 1:
            continue
        found += _one(tuple(names[name]), tensor, computed=tensors.fixed.get(name) == UNSAVED)
    read = [one for graph in traced for one in constants(graph.program)]
    for name, tensor in unregistered(model, tensors, read):
        if tensor.numel() > 1:
            found += _one((name,), tensor, computed=not isinstance(tensor, nn.Parameter))
    return (*found, *_tied(model, names, touched, traced, places))


def _one(names: tuple[str, ...], tensor: torch.Tensor, *, computed: bool) -> list[Unreached]:
    """A tensor that no example reaches; one that a class computes holds axes of its lengths, and as a mask nothing."""
    if not computed:
        return [Unreached(names[0], names, None)]
    lengths = frozenset(length for length in tensor.shape if length > 1)
    return [] if tensor.dtype == torch.bool else [Unreached(names[0], names, lengths)]


def _tied(
    model: nn.Module,
    names: Mapping[str, Sequence[str]],
    touched: Container[str],
    traced: Iterable[Exported],
    places: Places,
) -> Iterator[Unreached]:
    """Tensors under names of layers that were not called, when they were read under another name.

    A table of embeddings delivers what it holds to whom it may concern, as under its other name. Other layers read an
    axis, and nobody knows whose.
    """
    ran = frozenset().union(*(one.ran for one in traced))
    for owner, aliases in names.items():
        layers = {alias: places.first(alias.rpartition(".")[0]) for alias in aliases}
        if owner in touched and any(layer in ran for layer in layers.values()):
            for alias, layer in layers.items():
                if layer not in ran and not isinstance(model.get_submodule(layer), nn.Embedding):
                    yield Unreached(alias, (alias,), None)


def hold(structure: Structure, scopes: Scopes, among: Sequence[Unreached], axes: Sequence[tuple[int, Indices]]) -> int:
    """Pin all that the unreached tensors may share; ``axes`` are the lengths and vertices of the parameters' axes.

    Returns
    -------
    int
        How many channels (sets of positions that move together) are held for that.
    """
    if not among:
        return 0
    component, places = scopes.of_components(structure)
    blocked = np.full(len(places), -1, np.int64)
    known: dict[str, int] = {}
    for which, place in enumerate(places):
        if place is not None:
            if place not in known:
                known[place] = _first_within(among, place)
            blocked[which] = known[place]
    for number, one in enumerate(among):
        if one.lengths is not None:
            for length, vertices in axes:
                if length in one.lengths:
                    for which in np.unique(component[vertices]):
                        place = places[which]
                        if place is not None and blocked[which] < 0 and _lies_within(one, place):
                            blocked[which] = number
    for number in np.unique(blocked[blocked >= 0]):
        structure.origin = f"{among[number].name}, which the example inputs do not reach and which may share it"
        structure.pin(np.flatnonzero(blocked[component] == number))
    return int((blocked >= 0).sum())


def _first_within(among: Sequence[Unreached], place: str) -> int:
    """Number of the first tensor within a place that may share axes of any length; -1 where there is none."""
    return next((number for number, one in enumerate(among) if one.lengths is None and _lies_within(one, place)), -1)


def _lies_within(one: Unreached, place: str) -> bool:
    return any(Places.within(name.rpartition(".")[0], place) for name in one.names)


def hold_unread(structure: Structure) -> None:
    """Pin entries of tensors that no operator of the examples reads: absence of demands is not freedom."""
    first, second, _ = structure.links()
    marked, _ = structure.marks()
    degree = sum(np.bincount(part, minlength=structure.size) for part in (first, second, marked))
    unread = np.flatnonzero(degree <= 1)  # the mark of its shape alone
    if unread.size:
        structure.origin = "the example inputs, which do not reach these columns"
        structure.pin(unread)


def told(model: nn.Module, among: Sequence[Unreached]) -> dict[str, str]:
    """What a report says of the tensors that no example reaches."""
    names = [name for one in among if one.lengths is None for name in one.names]
    if not names:
        return {}
    return {
        "not reached": f"the example inputs do not reach {_summed(model, set(names))}: left as they were, and so is "
        f"every axis that they may share; to permute these, too, {REMEDY}"
    }


_NAMED = 8


def _summed(model: nn.Module, names: set[str]) -> str:
    """Names of tensors, those of a module as the module's where none of its tensors is missing."""
    whole: dict[str, list[str]] = {}
    everything = [name for name, tensor in model.state_dict(keep_vars=True).items() if tensor.numel() > 1]
    for name in sorted(names):
        module = name
        while "." in module:
            parent = module.rpartition(".")[0]
            if any(other.startswith(f"{parent}.") and other not in names for other in everything):
                break
            module = parent
        whole.setdefault(module, []).append(name)
    said = [f"{module} ({len(parts)} tensors)" if len(parts) > 1 else parts[0] for module, parts in whole.items()]
    more = len(said) - _NAMED
    return ", ".join(said[:_NAMED]) + (f" and {more} more" if more > 0 else "")
