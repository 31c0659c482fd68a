"""From a model to its axis groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn
from torch.utils import _pytree as pytree

from permsolve.errors import InvalidOptionError, UntraceableError
from permsolve.networks.spec import AxisGroup, AxisUse, Spec
from permsolve.networks.symmetry.resolve import resolve
from permsolve.networks.symmetry.structure import Indices, Structure
from permsolve.networks.symmetry.value import Bundle, Value, closed
from permsolve.networks.trace.export import ExampleInputs, exported
from permsolve.networks.trace.propagate import Walk
from permsolve.networks.trace.tensors import Tensors, named_tensors

# A choice between two axes is made again when what it was based on has changed; two rounds settle all that was seen.
_ROUNDS = 3


def trace(model: nn.Module, example_inputs: ExampleInputs, *, free_outputs: Sequence[int | str] = ()) -> Spec:
    """Find every axis of a model that may be permuted without changing its function.

    The model is exported in evaluation and in training mode, and what either demands is respected.

    Parameters
    ----------
    model : Module
        The model; it is not changed.
    example_inputs : tuple or dict
        Arguments of a call, positional or by name.
    free_outputs : sequence of int or str, optional
        Outputs, by position or name, that may come out in another order along their axes.

    Returns
    -------
    Spec
        The axis groups.

    Raises
    ------
    UntraceableError
        When torch cannot export the model in evaluation mode.
    """
    tensors = named_tensors(model)
    programs = [(exported(model, example_inputs, training=False), False)]
    notes: dict[str, str] = {}
    try:
        programs.append((exported(model, example_inputs, training=True), True))
    except UntraceableError as error:
        notes["training mode"] = f"only the evaluation mode was traced: {error}"
    free = _output_numbers(programs[0][0], free_outputs)
    pinned: set[tuple[str, int]] = set()
    for _ in range(_ROUNDS):
        attempt = _Attempt(tensors, pinned, free)
        for program, training in programs:
            attempt.walk(program, training)
        hard = attempt.immovable()
        if hard <= pinned:
            break
        pinned |= hard
    notes |= attempt.notes
    return attempt.spec(notes)


@dataclass
class _Attempt:
    """One round over all graphs, with what is known not to move."""

    tensors: Tensors
    pinned: set[tuple[str, int]]
    free: frozenset[int]
    structure: Structure = field(default_factory=Structure)
    notes: dict[str, str] = field(default_factory=dict)
    _axes: list[tuple[str, int, Indices]] = field(default_factory=list)
    _shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._values = {
            name: self._value(name, tuple(tensor.shape))
            for name, tensor in self.tensors.tensors.items()
            if name not in self.tensors.fixed
        }

    def _value(self, name: str, shape: tuple[int, ...]) -> Value:
        bundles = []
        for axis, length in enumerate(shape):
            if length > 1 and (name, axis) not in self.pinned:
                vertices = self.structure.fresh(length)
                self._axes.append((name, axis, vertices))
                self.structure.mark(vertices, np.zeros(length, np.int64))
                bundles.append(Bundle((axis,), frozenset([axis]), vertices, np.zeros(length, np.int64)))
        self._shapes[name] = shape
        return Value(shape, tuple(bundles))

    def walk(self, program: Any, training: bool) -> None:
        """Follow one graph."""
        walk = Walk(
            self.structure,
            lambda name: self._values.get(self.tensors.owner.get(name, name)),
            lambda number: number in self.free,
            training=training,
        )
        walk.run(program)
        for number, value in walk.outputs.items():
            self._free_output(f"output:{number}", value)
        for name, count in walk.unknown.items():
            self.notes[name] = f"no rule for this operator ({count} times): the axes that it touches are pinned"

    def _free_output(self, name: str, value: Value) -> None:
        for bundle in closed(self.structure, value).bundles:
            if len(bundle.dims) > 1:
                self.structure.pin(bundle.vertices)
                continue
            known = [own for axis_name, dim, own in self._axes if (axis_name, dim) == (name, bundle.dims[0])]
            vertices = known[0] if known else self.structure.fresh(bundle.vertices.size)
            if not known:
                self.structure.mark(vertices, np.zeros_like(vertices))
                self._axes.append((name, bundle.dims[0], vertices))
            self.structure.link(bundle.vertices, vertices, bundle.keys, np.zeros_like(vertices))
            self._shapes[name] = value.shape

    def immovable(self) -> set[tuple[str, int]]:
        """Axes that no choice of ours keeps from moving: not one of their positions can."""
        free = np.zeros(self.structure.size, np.bool_)
        for rows in resolve(self.structure, soft=False):
            free[rows] = True
        return {(name, axis) for name, axis, vertices in self._axes if not free[vertices].any()} | self.pinned

    def spec(self, notes: Mapping[str, str]) -> Spec:
        """The groups, each with the axes that carry it."""
        starts = np.array([vertices[0] for _, _, vertices in self._axes], np.int64)
        ends = np.array([vertices[-1] for _, _, vertices in self._axes], np.int64)
        order = np.argsort(starts)
        found = []
        for rows in resolve(self.structure):
            if not starts.size:
                break
            owner = order[np.maximum(np.searchsorted(starts[order], rows[0], "right") - 1, 0)]
            inside = (rows[0] >= starts[owner]) & (rows[0] <= ends[owner])
            uses = []
            for axis in np.unique(owner[inside]):
                name, dim, vertices = self._axes[axis]
                positions = rows[:, inside & (owner == axis)] - vertices[0]
                uses.append((name, dim, positions[:, np.argsort(positions[0])]))
            if uses:
                first = np.argsort(max(uses, key=lambda use: use[2].size)[2][:, 0])
                found.append([AxisUse(name, dim, positions[first]) for name, dim, positions in uses])
        found.sort(
            key=lambda uses: [(list(self._shapes).index(use.name), use.axis, int(use.positions[0, 0])) for use in uses]
        )
        groups = tuple(
            AxisGroup(f"g{number}", uses[0].positions.shape[0], tuple(uses)) for number, uses in enumerate(found)
        )
        named = {use.name for group in groups for use in group.uses}
        shapes = {name: shape for name, shape in self._shapes.items() if name in named}
        aliases = {alias: owner for alias, owner in self.tensors.owner.items() if alias != owner and owner in named}
        return Spec(groups, shapes, dict(notes), aliases)


def _output_numbers(program: Any, free_outputs: Sequence[int | str]) -> frozenset[int]:
    """Numbers, in flat order, of the outputs that are named or counted."""
    if isinstance(free_outputs, int | str):
        free_outputs = (free_outputs,)
    tree = program.call_spec.out_spec
    numbered = pytree.tree_unflatten(list(range(tree.num_leaves)), tree)
    found: set[int] = set()
    for wanted in free_outputs:
        part: Any = None
        if isinstance(wanted, int) and -tree.num_leaves <= wanted < tree.num_leaves:
            part = wanted % tree.num_leaves
        elif isinstance(numbered, Mapping) and wanted in numbered:
            part = numbered[wanted]
        elif isinstance(wanted, str) and hasattr(numbered, wanted):
            part = getattr(numbered, wanted)
        if part is None:
            known = list(numbered) if isinstance(numbered, Mapping) else f"0 .. {tree.num_leaves - 1}"
            raise InvalidOptionError(f"free_outputs names {wanted!r}, but the outputs are {known}")
        found |= set(pytree.tree_leaves(part))
    return frozenset(found)
