"""From a model to its axis groups."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from permsolve.checks import require
from permsolve.errors import InvalidNetworkError, InvalidOptionError, UntraceableError
from permsolve.networks.layers import PLAIN, Layout
from permsolve.networks.prunable import layouts_of
from permsolve.networks.spec import AxisGroup, AxisUse, Reader, Spec, output_name
from permsolve.networks.surroundings import undisturbed
from permsolve.networks.symmetry.explaining import reasons
from permsolve.networks.symmetry.resolve import resolve
from permsolve.networks.symmetry.structure import Indices, Structure
from permsolve.networks.symmetry.value import Bundle, Value, closed
from permsolve.networks.trace.calls import Call, ExampleInputs, calls_of
from permsolve.networks.trace.export import Exported, check_example, check_module, check_traceable, constants, exported
from permsolve.networks.trace.places import Places
from permsolve.networks.trace.propagate import Walk
from permsolve.networks.trace.reach import UNREACHED, Unreached, hold, hold_unread, told, unreached
from permsolve.networks.trace.readings import Reading, readings
from permsolve.networks.trace.scopes import Scopes
from permsolve.networks.trace.tensors import Tensors, named_tensors

# A choice between two axes is made again when what it was based on has changed; two rounds settle all that was seen.
_ROUNDS = 3
_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


@undisturbed
def trace(model: nn.Module, example_inputs: ExampleInputs, *, free_outputs: Sequence[int | str] = ()) -> Spec:
    """Find every axis of a model that may be permuted without changing its function.

    The model is exported in evaluation and in training mode, and what either demands is respected.

    Parameters
    ----------
    model : Module
        The model; it is not changed. Shapes are enough: it may have been built on the meta device (``with
        torch.device("meta")``; a model that is moved there loses its ties).
    example_inputs : tuple, dict, Tensor, Call, or list of these
        Arguments of a call: a tuple of positional ones, a dict of those by name, or a tensor, the only one; or a
        :class:`Call`, which can also name another method. A list holds several calls (``[(x,), {"x": x, "aux":
        True}]``): what any of them demands is respected, and what any of them reaches can move.
    free_outputs : sequence of int or str, optional
        Outputs, by position or name, that may come out in another order along their axes; of all calls that have them.

    Returns
    -------
    Spec
        The axis groups. Parameters that no call reaches, in neither mode, have none, and hold what they may share (see
        :mod:`permsolve.networks.trace.reach`); ``unreached`` and ``notes`` name them.

    Raises
    ------
    UntraceableError
        When torch cannot export the model in evaluation mode.
    InvalidNetworkError
        When it is no module, or cannot be called with the example.
    """
    check_module(model)
    check_traceable(model)
    _refuse_compressed(model)
    calls = calls_of(example_inputs)
    notes: dict[str, str] = {}
    graphs = _graphs(model, calls, notes)
    tensors = named_tensors(model, [one for graph in graphs for one in constants(graph.traced.program)])
    free = _free_outputs([graph.traced.outputs for graph in graphs if not graph.training], free_outputs)
    read = [readings(graph.traced.program) for graph in graphs]
    places = Places(model)
    beyond = unreached(model, tensors, [graph.traced for graph in graphs], places)
    layouts = layouts_of(model, tensors.owner)
    divided = _divided(tensors, read)
    pinned: set[tuple[str, int]] = set()
    held: dict[str, str] = {}
    for _ in range(_ROUNDS):
        attempt = _Attempt(tensors, pinned, free, divided, beyond, places)
        for graph in graphs:
            attempt.walk(graph)
        attempt.hold()
        hard = attempt.immovable()
        held = attempt.held(layouts) | held
        if hard <= pinned:
            break
        pinned |= hard
    notes |= attempt.notes | told(model, beyond)
    entries = [one for one, graph in zip(read, graphs, strict=True) if not graph.training]
    return replace(attempt.spec(notes, held, _readers(tensors, read, entries)), layouts=layouts)


def _refuse_compressed(model: nn.Module) -> None:
    """Refuse what torch.export would end the process with, without an exception."""
    for name, parameter in model.named_parameters():
        if parameter.layout in _COMPRESSED and parameter.requires_grad:
            raise InvalidNetworkError(
                f"{name} is sparse ({parameter.layout}) and needs gradients, which torch.export cannot trace: make it "
                "dense with .to_dense(), or freeze it with .requires_grad_(False)"
            )


@dataclass(frozen=True, slots=True)
class _Graph:
    """One call of the model, traced in one mode."""

    traced: Exported
    training: bool
    call: int


def _graphs(model: nn.Module, calls: Sequence[Call], notes: dict[str, str]) -> list[_Graph]:
    """All calls in evaluation mode, then all in training mode that can be traced."""
    graphs = []
    try:
        graphs += [_Graph(exported(model, call, training=False), False, n) for n, call in enumerate(calls)]
    except UntraceableError:
        check_example(model, list(calls))
        raise
    for number, call in enumerate(calls):
        try:
            graphs.append(_Graph(exported(model, call, training=True), True, number))
        except UntraceableError as error:
            notes["training mode"] = f"only the evaluation mode was traced: {error}"
    return graphs


@dataclass(frozen=True, slots=True)
class _Axis:
    """The vertices of an axis of a tensor, or of a part of it."""

    name: str
    dim: int
    vertices: Indices
    rows: tuple[int, int] | None = None


@dataclass
class _Attempt:
    """One round over all graphs, with what is known not to move."""

    tensors: Tensors
    pinned: set[tuple[str, int]]
    free: frozenset[tuple[int, int]]
    divided: Mapping[str, int]
    beyond: Sequence[Unreached]
    places: Places
    structure: Structure = field(default_factory=Structure)
    notes: dict[str, str] = field(default_factory=dict)
    _axes: list[_Axis] = field(default_factory=list)
    _shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        still = self.tensors.fixed.keys() | {one.name for one in self.beyond}
        self._values = {
            name: self._value(name, tuple(tensor.shape))
            for name, tensor in self.tensors.tensors.items()
            if name not in still
        }
        names: dict[str, list[str]] = {}
        for alias, owner in self.tensors.owner.items():
            names.setdefault(owner, []).append(alias)
        self._scopes = Scopes(self.places, {alias: names[owner] for alias, owner in self.tensors.owner.items()})

    def _value(self, name: str, shape: tuple[int, ...]) -> Value:
        self.structure.origin = f"the shape of {name}"
        self._shapes[name] = shape
        if name in self.divided:
            return self._divided_value(name, shape, self.divided[name])
        bundles = []
        for axis, length in enumerate(shape):
            if length > 1 and (name, axis) not in self.pinned:
                vertices = self.structure.fresh(length)
                self._axes.append(_Axis(name, axis, vertices))
                self.structure.mark(vertices, np.zeros(length, np.int64))
                bundles.append(Bundle((axis,), frozenset([axis]), vertices, np.zeros(length, np.int64)))
        return Value(shape, tuple(bundles))

    def _divided_value(self, name: str, shape: tuple[int, ...], groups: int) -> Value:
        """The weight of a grouped convolution as (groups, out / groups, in / groups, k...): each group on its own.

        Nothing moves from group to group, nor along the kernel.
        """
        outputs, inputs, *kernel = shape
        each = outputs // groups
        bundles = []
        for axis, length, moving in ((0, each, 1), (1, inputs, 2)):
            if length > 1 and (name, axis) not in self.pinned:
                vertices = self.structure.fresh(groups * length).reshape(groups, length)
                keys = np.zeros_like(vertices)
                self.structure.mark(vertices, np.broadcast_to(np.arange(groups)[:, None], vertices.shape))
                bundles.append(Bundle((0, moving), frozenset([moving]), vertices, keys))
                if axis == 0:
                    self._axes.append(_Axis(name, 0, vertices.ravel()))
                else:
                    self._axes += [
                        _Axis(name, 1, own, (number * each, (number + 1) * each)) for number, own in enumerate(vertices)
                    ]
        return Value((groups, each, inputs, *kernel), tuple(bundles))

    def walk(self, graph: _Graph) -> None:
        """Follow one graph."""
        walk = Walk(
            self.structure,
            lambda name: self._values.get(self.tensors.owner.get(name, name)),
            lambda number: (graph.call, number) in self.free,
            training=graph.training,
            scopes=self._scopes if self.beyond else None,
        )
        walk.run(graph.traced)
        for number, value in walk.outputs.items():
            self._free_output(output_name(graph.call, number), value)
        for name, count in walk.unknown.items():
            self.notes[name] = f"no rule for this operator ({count} times): the axes that it touches are pinned"

    def hold(self) -> None:
        """Pin what no graph reads, and what code that no graph reaches may read."""
        hold_unread(self.structure)
        axes = [(self._shapes[axis.name][axis.dim], axis.vertices) for axis in self._axes]
        hold(self.structure, self._scopes, self.beyond, axes)

    def _free_output(self, name: str, value: Value) -> None:
        for bundle in closed(self.structure, value).bundles:
            if len(bundle.dims) > 1:
                self.structure.pin(bundle.vertices)
                continue
            known = [axis.vertices for axis in self._axes if (axis.name, axis.dim) == (name, bundle.dims[0])]
            vertices = known[0] if known else self.structure.fresh(bundle.vertices.size)
            if not known:
                self.structure.mark(vertices, np.zeros_like(vertices))
                self._axes.append(_Axis(name, bundle.dims[0], vertices))
            self.structure.link(bundle.vertices, vertices, bundle.keys, np.zeros_like(vertices))
            self._shapes[name] = value.shape

    def immovable(self) -> set[tuple[str, int]]:
        """Axes that no choice of ours keeps from moving: not one of their positions can."""
        free = np.zeros(self.structure.size, np.bool_)
        for rows in resolve(self.structure, soft=False):
            free[rows] = True
        moving = {(axis.name, axis.dim) for axis in self._axes if free[axis.vertices].any()}
        return {(axis.name, axis.dim) for axis in self._axes} - moving | self.pinned

    def held(self, layouts: Mapping[str, Layout]) -> dict[str, str]:
        """What keeps positions of input axes in order."""
        free = np.zeros(self.structure.size, np.bool_)
        for rows in resolve(self.structure):
            free[rows] = True
        held = {
            axis.name: axis.vertices[~free[axis.vertices]]
            for axis in self._axes
            if axis.dim == layouts.get(axis.name, PLAIN).input and not free[axis.vertices].all()
        }
        never = {one.name: UNREACHED for one in self.beyond}
        return {**never, **self.tensors.fixed, **reasons(self.structure, held)}

    def spec(self, notes: Mapping[str, str], held: Mapping[str, str], readers: Mapping[str, Reader]) -> Spec:
        """The groups, each with the axes that carry it."""
        starts = np.array([axis.vertices[0] for axis in self._axes], np.int64)
        ends = np.array([axis.vertices[-1] for axis in self._axes], np.int64)
        order = np.argsort(starts)
        found = []
        for rows in resolve(self.structure):
            if not starts.size:
                break
            owner = order[np.maximum(np.searchsorted(starts[order], rows[0], "right") - 1, 0)]
            inside = (rows[0] >= starts[owner]) & (rows[0] <= ends[owner])
            uses = []
            for number in np.unique(owner[inside]):
                axis = self._axes[number]
                positions = rows[:, inside & (owner == number)] - axis.vertices[0]
                uses.append((axis, positions[:, np.argsort(positions[0])]))
            if uses:
                first = np.argsort(max(uses, key=lambda use: use[1].size)[1][:, 0])
                found.append([AxisUse(axis.name, axis.dim, positions[first], axis.rows) for axis, positions in uses])
        found.sort(
            key=lambda uses: [(list(self._shapes).index(use.name), use.axis, int(use.positions[0, 0])) for use in uses]
        )
        groups = tuple(
            AxisGroup(f"g{number}", uses[0].positions.shape[0], tuple(uses)) for number, uses in enumerate(found)
        )
        named = {use.name for group in groups for use in group.uses}
        shapes = {name: shape for name, shape in self._shapes.items() if name in named}
        aliases = {alias: owner for alias, owner in self.tensors.owner.items() if alias != owner and owner in named}
        beyond = tuple(name for one in self.beyond if one.lengths is None for name in one.names)
        return Spec(groups, shapes, dict(notes), aliases, dict(held), readers, beyond)


def _divided(tensors: Tensors, read: Sequence[Mapping[str, list[Reading]]]) -> dict[str, int]:
    """Weights that nobody but grouped convolutions read, all with the same number of groups; depthwise ones aside."""
    found = {}
    for name, tensor in tensors.tensors.items():
        numbers = {one.groups if one.layer is not None else 1 for one in _of(name, tensors, read)}
        if len(numbers) == 1 and (groups := numbers.pop()) > 1 and tensor.shape[1] > 1:
            found[name] = groups
    return found


def _readers(
    tensors: Tensors, read: Sequence[Mapping[str, list[Reading]]], counted: Sequence[Mapping[str, list[Reading]]]
) -> dict[str, Reader]:
    """Weights that nobody but whole layers read, with the entries that these read in the graphs that count."""
    found = {}
    for name in tensors.tensors:
        layers = {one.layer: None for one in _of(name, tensors, read)}
        if layers and None not in layers and name not in tensors.fixed:
            entries = sum(one.entries for one in _of(name, tensors, counted))
            found[name] = Reader(tuple(layer for layer in layers if layer is not None), entries)
    return found


def _of(name: str, tensors: Tensors, read: Sequence[Mapping[str, list[Reading]]]) -> list[Reading]:
    """Readings of a tensor under all its names, in all graphs."""
    return [
        one for graph in read for alias, first in tensors.owner.items() if first == name for one in graph.get(alias, ())
    ]


def _free_outputs(trees: Sequence[Any], free_outputs: Sequence[int | str]) -> frozenset[tuple[int, int]]:
    """(call, number in flat order) of the outputs that are named or counted: of each call that has them."""
    if isinstance(free_outputs, int | str):
        free_outputs = (free_outputs,)
    require(isinstance(free_outputs, Iterable), "free_outputs", "numbers or names of outputs", free_outputs)
    found: set[tuple[int, int]] = set()
    for wanted in free_outputs:
        parts = [_output_part(tree, wanted) for tree in trees]
        if not any(parts):
            known = "; ".join(dict.fromkeys(_described_outputs(tree) for tree in trees))
            raise InvalidOptionError(f"free_outputs names {wanted!r}, but the outputs are {known}")
        found |= {(call, number) for call, numbers in enumerate(parts) for number in numbers}
    return frozenset(found)


def _output_part(tree: Any, wanted: int | str) -> list[int]:
    """Numbers of the outputs of one call that a number or name stands for."""
    numbered = pytree.tree_unflatten(list(range(tree.num_leaves)), tree)
    if isinstance(wanted, int):
        return [wanted % tree.num_leaves] if -tree.num_leaves <= wanted < tree.num_leaves else []
    part = numbered.get(wanted) if isinstance(numbered, Mapping) else getattr(numbered, str(wanted), None)
    return [number for number in pytree.tree_leaves(part) if isinstance(number, int)]


def _described_outputs(tree: Any) -> str:
    numbered = pytree.tree_unflatten(list(range(tree.num_leaves)), tree)
    return str(list(numbered)) if isinstance(numbered, Mapping) else f"0 .. {tree.num_leaves - 1}"
