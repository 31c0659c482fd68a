"""The axis groups of a network: which axis of which parameter carries which permutation."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import FileFormatError, InvalidSpecError
from permsolve.io.documents import json_text
from permsolve.io.reading import reading
from permsolve.io.writing import atomic_write
from permsolve.networks.layers.layout import PLAIN, Layout

FORMAT = "permsolve-axis-groups"
FORMAT_VERSION = 2

Positions = NDArray[np.int64]

# What the name of a free output begins with.
OUTPUT = "output:"

# The axis of a weight along which its inputs lie, when it is seen as (out, in, kernel...).
INPUT_AXIS = 1


def output_name(call: int, number: int) -> str:
    """Name of an output in axis groups: ``"output:0"``, and ``"output:1.0"`` of the second of several calls."""
    return f"{OUTPUT}{call}.{number}" if call else f"{OUTPUT}{number}"


def output_place(name: str) -> tuple[int, int]:
    """Number of the call and of the output that :func:`output_name` names."""
    call, _, number = name.removeprefix(OUTPUT).rpartition(".")
    return int(call or 0), int(number)


@dataclass(frozen=True, eq=False)
class AxisUse:
    """An axis of a parameter, a buffer or a free output that follows a group.

    Attributes
    ----------
    name : str
        Qualified name of the parameter or buffer; of an output ``"output:0"``.
    axis : int
        The axis.
    positions : ndarray of int64, shape (size, copies)
        Where channel ``j`` of the group stands along the axis: at ``positions[j, 0]``, ``positions[j, 1]``, ... (the
        same channel several times: repeated heads, the places of a flattened map, the halves of a fused layer).
    rows : tuple of (int, int), optional
        Only entries ``rows[0] .. rows[1] - 1`` along axis 0 are meant (one group of a grouped convolution).
    values : bool, default False
        It is not entries that stand at the positions: the tensor is an index, whose numbers name positions.
    """

    name: str
    axis: int
    positions: Positions
    rows: tuple[int, int] | None = None
    values: bool = False

    def order(self, permutation: NDArray[Any], length: int) -> Positions:
        """Index along the axis that puts channel ``permutation[j]`` where channel ``j`` stands."""
        index = np.arange(length, dtype=np.int64)
        index[self.positions] = self.positions[permutation]
        return index

    def in_matrix(self, layout: Layout, shape: tuple[int, ...]) -> "Iterator[AxisUse]":
        """What this use of a stored weight is, where the weight is seen as (out, in, kernel...).

        Parameters
        ----------
        layout : Layout
            How the weight is stored.
        shape : tuple of int
            Of the stored weight.

        Yields
        ------
        AxisUse
            Of axis 0 or 1; nothing for an axis of a kernel that is not stored in its place.
        """
        if layout.plain:
            yield self
            return
        rows = self.rows
        if rows is not None and layout.batch == 0:
            rows = rows[0] * shape[layout.out], rows[1] * shape[layout.out]
        elif rows is not None and (layout.out != 0 or layout.divided):
            return
        for axis, part, positions in layout.places(self.axis, self.positions, shape):
            yield replace(self, axis=axis, positions=positions, rows=part if rows is None else rows)


@dataclass(frozen=True, eq=False)
class AxisGroup:
    """Channels that may be permuted freely, as long as all axes that carry them follow.

    Attributes
    ----------
    name : str
        Unique in its spec.
    size : int
        Number of channels.
    uses : tuple of AxisUse
        The axes that carry them.
    """

    name: str
    size: int
    uses: tuple[AxisUse, ...]

    @property
    def parameters(self) -> list[tuple[str, int]]:
        """(qualified name, axis) of each use."""
        return list(dict.fromkeys((use.name, use.axis) for use in self.uses))


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads a weight, where nobody but whole layers does.

    Attributes
    ----------
    layers : tuple of str
        Qualified names of the linear layers or convolutions.
    entries : int
        Number of entries that these have as inputs in one call of the model on the example.
    """

    layers: tuple[str, ...]
    entries: int


@dataclass(frozen=True, eq=False)
class Spec:
    """All axis groups of a network.

    Made by :func:`permsolve.networks.trace`, or by hand; saved as JSON text.

    Attributes
    ----------
    groups : tuple of AxisGroup
        The groups; no position of an axis belongs to two of them.
    shapes : dict of str to tuple of int
        Shapes of the parameters and buffers that are named.
    notes : dict of str to str
        Operator without a rule -> what that meant; and other remarks of the trace.
    aliases : dict of str to str
        Further names of tied tensors -> the name that the groups use.
    held : dict of str to str
        Parameter -> what keeps its input axis (axis 1, unless its layout says otherwise), or a part of it, in order.
    readers : dict of str to Reader
        Weights that could be read through a gather.
    unreached : tuple of str
        Parameters and buffers that no example reached; no group names them. In a spec written by hand there are none:
        whoever writes it says what may move.
    layouts : dict of str to Layout
        Weights that are not stored as (out, in, kernel...) -> how they are.
    """

    groups: tuple[AxisGroup, ...]
    shapes: Mapping[str, tuple[int, ...]]
    notes: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)
    readers: Mapping[str, Reader] = field(default_factory=dict)
    unreached: tuple[str, ...] = ()
    layouts: Mapping[str, Layout] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [group.name for group in self.groups]
        if len(set(names)) != len(names):
            raise InvalidSpecError(f"two axis groups have the same name: {sorted(names)}")
        taken: dict[tuple[str, int, bool], list[tuple[tuple[int, int], NDArray[np.bool_]]]] = {}
        for group, use in self._uses():
            shape = self.shapes.get(use.name)
            if shape is None or not 0 <= use.axis < len(shape):
                raise InvalidSpecError(
                    f"group {group.name!r}: {use.name!r} has no axis {use.axis} (shapes say {shape})"
                )
            p = use.positions
            if p.ndim != 2 or p.shape[0] != group.size or (p.size and not (0 <= p.min() <= p.max() < shape[use.axis])):
                raise InvalidSpecError(
                    f"group {group.name!r}: positions of {use.name!r} must have shape ({group.size}, copies) "
                    f"and lie in 0 .. {shape[use.axis] - 1}"
                )
            rows = (0, shape[0]) if use.rows is None else use.rows
            if not 0 <= rows[0] < rows[1] <= shape[0]:
                raise InvalidSpecError(f"group {group.name!r}: {use.name!r} has no rows {rows} (shapes say {shape})")
            seen = np.zeros(shape[use.axis], np.bool_)
            seen[p] = True
            known = taken.setdefault((use.name, use.axis, use.values), [])
            clash = any(a < rows[1] and rows[0] < b and (seen & other).any() for (a, b), other in known)
            if clash or int(seen.sum()) != p.size:
                raise InvalidSpecError(
                    f"group {group.name!r}: a position of {use.name!r}, axis {use.axis}, is used twice"
                )
            known.append((rows, seen))

    def _uses(self) -> Iterator[tuple[AxisGroup, AxisUse]]:
        for group in self.groups:
            for use in group.uses:
                yield group, use

    def layout(self, name: str) -> Layout:
        """How a weight is stored."""
        return self.layouts.get(name, PLAIN)

    def __repr__(self) -> str:
        return f"Spec({len(self.groups)} axis groups, {len(self.shapes)} tensors)"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; :meth:`from_dict` is its inverse."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "groups": [
                {
                    "name": group.name,
                    "size": group.size,
                    "uses": [
                        {"name": use.name, "axis": use.axis, "positions": _written(use.positions)}
                        | ({"rows": list(use.rows)} if use.rows is not None else {})
                        | ({"values": True} if use.values else {})
                        for use in group.uses
                    ],
                }
                for group in self.groups
            ],
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "notes": dict(self.notes),
            "aliases": dict(self.aliases),
            "held": dict(self.held),
            "readers": {
                name: {"layers": list(reader.layers), "entries": reader.entries}
                for name, reader in self.readers.items()
            },
            "unreached": list(self.unreached),
            "layouts": {name: layout.to_dict() for name, layout in self.layouts.items()},
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Spec":
        """Make a spec of what :meth:`to_dict` gave, or of the same written by hand.

        ``positions`` is a list (one position, or a list of positions, per channel), or
        ``{"start": s, "step": a, "copies": [[count, step], ...]}`` for ``s + a * channel + sum(step * copy)``.

        Raises
        ------
        FileFormatError
            When something is missing or has the wrong type.
        InvalidSpecError
            When the groups contradict themselves.
        """
        try:
            if document["format"] != FORMAT or document["format_version"] != FORMAT_VERSION:
                raise FileFormatError(f"not axis groups of format version {FORMAT_VERSION}")
            groups = tuple(
                AxisGroup(
                    str(group["name"]),
                    int(group["size"]),
                    tuple(_use(use, int(group["size"])) for use in group["uses"]),
                )
                for group in document["groups"]
            )
            shapes = {str(name): tuple(int(n) for n in shape) for name, shape in document["shapes"].items()}
            notes, aliases, held = (
                {str(k): str(v) for k, v in document.get(part, {}).items()} for part in ("notes", "aliases", "held")
            )
            readers = {
                str(name): Reader(tuple(str(layer) for layer in reader["layers"]), int(reader["entries"]))
                for name, reader in document.get("readers", {}).items()
            }
            unreached = tuple(str(name) for name in document.get("unreached", ()))
            layouts = {str(name): Layout.from_dict(one) for name, one in document.get("layouts", {}).items()}
            return cls(groups, shapes, notes, aliases, held, readers, unreached, layouts)
        except (InvalidSpecError, FileFormatError):
            raise
        except KeyError as error:
            raise FileFormatError(f"not axis groups: there is no {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise FileFormatError(f"not axis groups: {error}") from error

    def save(self, path: str | PathLike[str]) -> None:
        """Write the spec as JSON; the file appears whole or not at all."""
        text = json_text(self.to_dict(), indent=1) + "\n"
        atomic_write(path, lambda stream: stream.write(text.encode()))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Spec":
        """Read what :meth:`save` wrote, or a hand-written file.

        Raises
        ------
        FileFormatError, InvalidSpecError
            When the file is no spec, or contradicts itself.
        """
        source = Path(path)
        with reading(source, "axis groups"):
            return cls.from_dict(json.loads(source.read_bytes()))

    def draw(self, path: str | PathLike[str]) -> None:
        """Write a picture (.svg) of the network's axes: a row per parameter, a colour per group."""
        from permsolve.networks.drawing import svg

        text = svg(self)
        atomic_write(path, lambda stream: stream.write(text.encode()))


def _use(document: Mapping[str, Any], size: int) -> AxisUse:
    rows = document.get("rows")
    return AxisUse(
        str(document["name"]),
        int(document["axis"]),
        _read(document["positions"], size),
        None if rows is None else (int(rows[0]), int(rows[1])),
        bool(document.get("values", False)),
    )


def _written(positions: Positions) -> Any:
    """Positions as a formula where one fits, else as a list."""
    size, copies = positions.shape
    start = int(positions[0, 0])
    step = int(positions[1, 0] - start) if size > 1 else 1
    offsets = positions[0] - start
    levels: list[list[int]] = []
    inner = offsets
    while inner.size > 1:
        stride = int(inner[1] - inner[0])
        run = 1
        while run < inner.size and inner[run] == run * stride:
            run += 1
        if inner.size % run:
            break
        levels.insert(0, [run, stride])
        inner = inner[::run]
    formula = {"start": start, "step": step, "copies": levels}
    if np.prod([count for count, _ in levels], dtype=int) == copies and np.array_equal(_read(formula, size), positions):
        return formula
    return positions[:, 0].tolist() if copies == 1 else positions.tolist()


def _read(written: Any, size: int) -> Positions:
    if isinstance(written, Mapping):
        offsets = np.zeros(1, np.int64)
        for count, step in written.get("copies", []):
            offsets = (offsets[:, None] + np.arange(int(count)) * int(step)).ravel()
        return int(written["start"]) + int(written["step"]) * np.arange(size)[:, None] + offsets
    positions = np.asarray(written)
    if positions.dtype.kind not in "iu":
        raise ValueError(f"positions must be whole numbers, got {positions.dtype}")
    return (positions[:, None] if positions.ndim == 1 else positions).astype(np.int64)
