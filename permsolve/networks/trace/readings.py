"""Who reads each parameter of a traced graph."""

from dataclasses import dataclass
from math import prod
from typing import Any

from torch.fx import Node

from permsolve.networks.trace.export import PREFIX
from permsolve.networks.trace.nodes import layer_of, operator_name, shape_of

# Operators that are a whole layer: input, weight, bias.
_LAYERS = ("aten.linear", "aten.conv1d", "aten.conv2d", "aten.conv3d")
_GROUPS = 6  # the place of a convolution's argument


@dataclass(frozen=True, slots=True)
class Reading:
    """One operator that reads a parameter.

    Attributes
    ----------
    layer : str or None
        The module that runs it, where it is a linear layer or a convolution and the parameter its weight.
    entries : int
        Number of entries of its input.
    groups : int
        Of a convolution; 1 otherwise.
    """

    layer: str | None
    entries: int
    groups: int


def readings(program: Any) -> dict[str, list[Reading]]:
    """All readings of each parameter and buffer, by qualified name."""
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    found: dict[str, list[Reading]] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            continue
        for place, source in enumerate(node.all_input_nodes):
            if source.name in names and source.op == "placeholder":
                found.setdefault(names[source.name].removeprefix(PREFIX), []).append(_reading(node, place))
    return found


def _reading(node: Node, place: int) -> Reading:
    if node.op != "call_function" or operator_name(node) not in _LAYERS or place != 1:
        return Reading(None, 0, 1)
    groups = node.args[_GROUPS] if len(node.args) > _GROUPS else node.kwargs.get("groups", 1)
    shape = shape_of(node.all_input_nodes[0].meta.get("val")) or ()
    return Reading(layer_of(node), prod(shape), groups if isinstance(groups, int) else 1)
