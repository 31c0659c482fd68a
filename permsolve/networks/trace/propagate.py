"""Walk a graph with the rules and collect what its operators demand."""

import logging
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from permsolve.networks.rules import RULES, Call, Outcome, pointwise_rule
from permsolve.networks.symmetry.combining import merge
from permsolve.networks.symmetry.structure import Indices, Structure
from permsolve.networks.symmetry.value import Value, pin
from permsolve.networks.trace.export import PREFIX, Exported
from permsolve.networks.trace.nodes import layer_of, operator_name, shape_of
from permsolve.networks.trace.scopes import Scopes

_LOGGER = logging.getLogger(__name__)

# They check something and return nothing.
SILENT = ("aten._assert_tensor_metadata", "aten._assert_scalar", "aten._assert_async", "aten.sym_constrain_range")


class Walk:
    """One pass over an exported program.

    Parameters
    ----------
    structure : Structure
        Receives the demands.
    parameter : callable
        Gives the value of a parameter or buffer by its qualified name, None for what never moves.
    free_outputs : callable
        Whether the output of this number and name may come out permuted.
    training : bool, default False
        Whether the graph is that of the training mode.
    scopes : Scopes, optional
        Learns from where each vertex is seen.
    """

    def __init__(
        self,
        structure: Structure,
        parameter: Callable[[str], Value | None],
        free_output: Callable[[int], bool] = lambda number: False,
        *,
        training: bool = False,
        scopes: Scopes | None = None,
    ) -> None:
        self.structure = structure
        self.parameter = parameter
        self.free_output = free_output
        self.scopes = scopes
        self.training = training
        self.unknown: dict[str, int] = {}
        self.outputs: dict[int, Value] = {}
        self._values: dict[Node, Any] = {}
        self._names: dict[Node, str] = {}
        self._why: dict[Node, str] = {}  # what holds a tensor along which nothing moves

    def run(self, traced: Exported) -> None:
        """Follow the graph from the inputs to the outputs."""
        program = traced.program
        for node in program.graph.nodes:
            if node.op == "placeholder":
                self._values[node] = self._placeholder(node, program.graph_signature)
            elif node.op == "call_function":
                self.structure.origin = self._described(node)
                self._values[node] = self._called(node)
                self._explain(node)
            elif node.op == "output":
                self.structure.origin = "an output of the model"
                self._finish(node, program.graph_signature, traced.outputs.num_leaves)
            else:
                self._values[node] = _still(node)
        if self.scopes is not None:
            self._locate(traced, self.scopes)

    def _locate(self, traced: Exported, scopes: Scopes) -> None:
        """Tell from where each tensor is seen: from the code that makes it, all that read it, and all that get it."""
        left: dict[str, list[str]] = {}
        specs = [spec for spec in traced.program.graph_signature.output_specs if spec.kind.name == "USER_OUTPUT"]
        for spec, place in zip(specs[traced.outputs.num_leaves :], traced.places or (), strict=True):
            left.setdefault(getattr(spec.arg, "name", ""), []).append(place)
        for node, value in self._values.items():
            name = self._names.get(node)
            known = name is not None or node.op == "call_function"
            if not known or traced.places is None:
                scopes.see(_vertices(value), [""])
                continue
            own = scopes.owners(name) if name is not None else [layer_of(node)]
            readers = [layer_of(user) for user in node.users if user.op == "call_function"]
            scopes.see(_vertices(value), [*own, *readers, *left.get(node.name, ())])

    def _placeholder(self, node: Node, signature: Any) -> Value | None:
        name = signature.inputs_to_parameters.get(node.name) or signature.inputs_to_buffers.get(node.name)
        if name is not None:
            self._names[node] = name.removeprefix(PREFIX)
        value = self.parameter(self._names[node]) if name is not None else None
        if value is not None:
            return value
        if node.name in signature.user_inputs:
            self._why[node] = "the model's inputs"
        else:
            self._why[node] = f"the fixed tensor {self._names.get(node) or node.name!r}"
        still: Value | None = _still(node)
        return still

    def _described(self, node: Node) -> str:
        """An operator, the layer that it belongs to, and what of its arguments is held by something else."""
        held = next((why for one in node.all_input_nodes if (why := self._why.get(one)) is not None), None)
        return self._at(node) + (f", which reads {held}" if held is not None else "")

    def _at(self, node: Node) -> str:
        layer = layer_of(node)
        return operator_name(node) + (f" in {layer}" if layer else "")

    def _explain(self, node: Node) -> None:
        """Say what holds a tensor along which nothing moves: its arguments, or the operator itself."""
        value = self._values[node]
        if not isinstance(value, Value) or value.bundles or len(value.shape) == 0:
            return
        arguments = [one for one in node.all_input_nodes if isinstance(self._values.get(one), Value)]
        moved = any(self._values[one].bundles for one in arguments if one not in self._names)
        known = [self._why[one] for one in arguments if one in self._why]
        if moved or not known:
            self._why[node] = self._at(node)
        else:
            self._why[node] = known[0]

    def _called(self, node: Node) -> Any:
        if node.target is operator.getitem:
            source, place = self._values[node.all_input_nodes[0]], node.args[1]
            return source[place] if isinstance(place, int) and isinstance(source, list | tuple) else _still(node)
        name = operator_name(node)
        if name in SILENT:
            return None
        call = self._call(node, name)
        rule = RULES.get(f"{name}.{getattr(node.target, '_overloadname', '')}") or RULES.get(name)
        tags = getattr(node.target, "tags", ())
        if rule is None and torch.Tag.pointwise in tags and torch.Tag.nondeterministic_seeded not in tags:
            rule = pointwise_rule
        outcome: Outcome = rule(call) if rule is not None and call is not None else None
        if outcome is not None and self._fits(node, outcome):
            return outcome
        self.unknown[name] = self.unknown.get(name, 0) + 1
        for argument in node.all_input_nodes:
            self._pin(self._values.get(argument))
        return _still(node)

    def _call(self, node: Node, name: str) -> Call | None:
        """The call with its arguments by name; None when an argument is computed from data."""
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            return None
        arguments: dict[str, Any] = {}
        for position, argument in enumerate(schema.arguments):
            if position < len(node.args) and not argument.kwarg_only:
                given: Any = node.args[position]
            elif argument.name in node.kwargs:
                given = node.kwargs[argument.name]
            else:
                given = argument.default_value
            try:
                arguments[argument.name] = self._replaced(given, name)
            except _DataDependent:
                return None
        value = node.meta.get("val")
        results = value if isinstance(value, list | tuple) else [value]
        used = frozenset(
            user.args[1] for user in node.users if user.target is operator.getitem and isinstance(user.args[1], int)
        )
        return Call(self.structure, name, arguments, tuple(shape_of(one) for one in results), used, self.training)

    def _replaced(self, argument: Any, name: str) -> Any:
        if isinstance(argument, Node):
            value = self._values[argument]
            if isinstance(value, Value):
                return value
            if name in _SIZED:
                return None
            raise _DataDependent
        if isinstance(argument, list | tuple):
            return [self._replaced(item, name) for item in argument]
        return argument

    def _fits(self, node: Node, outcome: Outcome) -> bool:
        """Whether a rule's results have the shapes that the graph states."""
        value = node.meta.get("val")
        if isinstance(value, list | tuple):
            if not isinstance(outcome, list | tuple) or len(outcome) < len(value):
                return False
            pairs = list(zip(outcome, value, strict=False))
        else:
            pairs = [(outcome, value)]
        good = all(one is None or (isinstance(one, Value) and one.shape == shape_of(stated)) for one, stated in pairs)
        if not good:
            _LOGGER.warning("the rule for %s gave another shape than the graph states: pinned", node.target)
        return good

    def _pin(self, value: Any) -> None:
        if isinstance(value, Value):
            pin(self.structure, value)
        elif isinstance(value, list | tuple):
            for one in value:
                self._pin(one)

    def _finish(self, node: Node, signature: Any, count: int) -> None:
        """The first outputs, the model's own, stand still; what is written back to a parameter moves as that does."""
        written = {**signature.buffers_to_mutate, **getattr(signature, "parameters_to_mutate", {})}
        number = 0
        for spec in signature.output_specs:
            name = getattr(spec.arg, "name", None)
            result = next((arg for arg in node.all_input_nodes if arg.name == name), None)
            value = self._values.get(result) if result is not None else None
            if spec.kind.name in ("BUFFER_MUTATION", "PARAMETER_MUTATION"):
                self._written(value, self.parameter(written[name].removeprefix(PREFIX)))
                continue
            if spec.kind.name == "USER_OUTPUT":
                if number >= count:
                    continue
                if isinstance(value, Value) and self.free_output(number):
                    self.outputs[number] = value
                else:
                    self._pin(value)
                number += 1
            else:
                self._pin(value)

    def _written(self, value: Any, target: Value | None) -> None:
        if isinstance(value, Value) and target is not None and value.shape == target.shape:
            merge(self.structure, [value, Value(target.shape, target.bundles)], target.shape)
        else:
            self._pin(value)
            self._pin(target)


# Their rules read sizes from the result, so that these may be computed from data.
_SIZED = {
    f"aten.{name}"
    for name in (
        "view",
        "reshape",
        "_unsafe_view",
        "expand",
        "zeros",
        "ones",
        "full",
        "empty",
        "arange",
        "new_zeros",
        "new_ones",
    )
}


class _DataDependent(Exception):
    """An argument of an operator is a number computed from data."""


def _vertices(value: Any) -> list[Indices]:
    """All that a tensor, or a list of tensors, carries."""
    if isinstance(value, Value):
        return [bundle.vertices for bundle in value.bundles]
    return [one for part in value for one in _vertices(part)] if isinstance(value, list | tuple) else []


def _still(node: Node) -> Any:
    value = node.meta.get("val")
    if isinstance(value, list | tuple):
        return [None if (shape := shape_of(one)) is None else Value(shape) for one in value]
    shape = shape_of(value)
    return None if shape is None else Value(shape)
