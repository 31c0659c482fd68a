"""How a tensor inside the network responds when the channels are permuted.

A *bundle* says how some dimensions of a tensor move. Each position of the grid of its dimensions holds a vertex of
the structure and a key, unique as a pair; under an automorphism ``f`` the content of position ``(v, k)`` goes to
position ``(f(v), k)``. Keys tell the copies of a vertex apart: a channel that is repeated, or spread over the places
of a flattened map. Of its dimensions the *moving* ones may change, while the coordinate along the others (its *base*,
such as the head in attention) never does; the labels may depend on it all the same.

A dimension that no bundle moves stands still, or is *uniform*: the tensor is the same all along it, as after expand.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np

from permsolve.networks.symmetry.structure import Indices, Structure


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """Dimensions that move together.

    Attributes
    ----------
    dims : tuple of int
        Dimensions of the tensor, ascending, each longer than 1.
    moving : frozenset of int
        Those along which positions may move.
    vertices, keys : ndarray of int64, shape (lengths of dims)
        What stands at each position.
    source : Bundle, optional
        Of which bundle, of the same tensor, this is a selection that is still open. Nothing has been computed from it,
        and its other part may yet be put beside it again. Until
        :func:`close` its keys are those of the source, repeats included.
    """

    dims: tuple[int, ...]
    moving: frozenset[int]
    vertices: Indices
    keys: Indices
    source: "Bundle | None" = None

    @property
    def weight(self) -> int:
        """How many channels would be lost by holding it still."""
        return int(np.unique(self.vertices).size)


@dataclass(frozen=True)
class Value:
    """A tensor: its shape, and which of its dimensions move how."""

    shape: tuple[int, ...]
    bundles: tuple[Bundle, ...] = ()
    uniform: frozenset[int] = field(default=frozenset())

    @cached_property
    def moving(self) -> frozenset[int]:
        """All dimensions along which something moves."""
        return frozenset().union(*(bundle.moving for bundle in self.bundles))

    @cached_property
    def still(self) -> frozenset[int]:
        """Dimensions that stand still and matter: neither moving, nor uniform, nor of length 1."""
        return frozenset(
            dim
            for dim, length in enumerate(self.shape)
            if length != 1 and dim not in self.moving and dim not in self.uniform
        )


def uniform_value(shape: Iterable[int]) -> Value:
    """A tensor whose entries are all the same, whatever they are."""
    lengths = tuple(shape)
    return Value(lengths, (), frozenset(range(len(lengths))))


def spread(bundle: Bundle, dims: Iterable[int], shape: tuple[int, ...]) -> tuple[tuple[int, ...], Indices, Indices]:
    """Dimensions, vertices and keys of a bundle repeated along further dimensions, whose coordinates become keys."""
    wanted = tuple(sorted({*bundle.dims, *dims}))
    lengths = tuple(shape[dim] for dim in wanted)
    own = tuple(shape[dim] if dim in bundle.dims else 1 for dim in wanted)
    extra = [dim for dim in wanted if dim not in bundle.dims]
    vertices = np.broadcast_to(bundle.vertices.reshape(own), lengths)
    keys = bundle.keys.reshape(own) * prod(shape[dim] for dim in extra) + coordinates(wanted, extra, shape)
    return wanted, vertices, np.broadcast_to(keys, lengths)


def coordinates(dims: tuple[int, ...], along: Iterable[int], shape: tuple[int, ...]) -> Indices:
    """Flat coordinate along some of the dimensions, over the grid of all of them."""
    result = np.zeros((1,) * len(dims), np.int64)
    for dim in sorted(along):
        place = np.arange(shape[dim]).reshape([-1 if other == dim else 1 for other in dims])
        result = result * shape[dim] + place
    return np.broadcast_to(result, tuple(shape[dim] for dim in dims))


def close(structure: Structure, bundle: Bundle, shape: tuple[int, ...]) -> Bundle | None:
    """Allow only vertices that were selected alike to be exchanged; None when nothing moves any more."""
    if bundle.source is None:
        return bundle
    keys = _unique_keys(bundle.vertices, bundle.keys)
    base = [dim for dim in bundle.dims if dim not in bundle.moving]
    structure.mark(bundle.vertices, keys, coordinates(bundle.dims, base, shape))
    return build(structure, bundle.dims, bundle.moving, bundle.vertices, keys)


def closed(structure: Structure, value: Value) -> Value:
    """A tensor from which something is computed: all its bundles closed."""
    if all(bundle.source is None for bundle in value.bundles):
        return value
    bundles = (close(structure, bundle, value.shape) for bundle in value.bundles)
    return Value(value.shape, tuple(bundle for bundle in bundles if bundle is not None), value.uniform)


def preserve(
    structure: Structure, bundle: Bundle, dims: Iterable[int], shape: tuple[int, ...], *, soft: bool = False
) -> Bundle | None:
    """Forbid that positions change their coordinate along ``dims``; None when nothing is left to move."""
    held = bundle.moving & frozenset(dims)
    if held:
        structure.mark(bundle.vertices, bundle.keys, coordinates(bundle.dims, held, shape), soft=soft)
    moving = bundle.moving - held
    return Bundle(bundle.dims, moving, bundle.vertices, bundle.keys, bundle.source) if moving else None


def pin(structure: Structure, value: Value) -> Value:
    """Hold every dimension of a tensor still."""
    for bundle in value.bundles:
        structure.pin(bundle.vertices)
    return Value(value.shape, (), value.uniform)


def build(
    structure: Structure,
    dims: Iterable[int],
    moving: Iterable[int],
    vertices: Indices,
    keys: Indices,
    source: Bundle | None = None,
) -> Bundle | None:
    """Make a bundle of a grid, without dimensions of length 1 and those along which nothing changes.

    Parameters
    ----------
    structure : Structure
        Receives the marks.
    dims : iterable of int
        Dimensions of the tensor that the axes of ``vertices`` stand for, ascending.
    moving : iterable of int
        Those along which positions may move.
    vertices, keys : ndarray of int64
        What stands at each position.
    source : Bundle, optional
        See :class:`Bundle`.

    Returns
    -------
    Bundle or None
        None when nothing moves.
    """
    named = [dim for dim, length in zip(dims, vertices.shape, strict=True) if length != 1]
    vertices = vertices.reshape([length for length in vertices.shape if length != 1])
    keys = keys.reshape(vertices.shape)
    for dim in list(named) if source is None else []:
        axis = named.index(dim)
        if vertices.ndim > 1 and _copies(vertices, keys, axis):
            vertices, keys = vertices.take([0], axis).squeeze(axis), keys.take([0], axis).squeeze(axis)
            named.remove(dim)
            structure.mark(vertices, keys)
    free = frozenset(moving) & frozenset(named)
    if free:
        return Bundle(tuple(named), free, vertices, keys, source)
    if source is not None:  # what was selected does not move along any dimension that is left
        structure.pin(vertices)
    return None


def _unique_keys(vertices: Indices, keys: Indices) -> Indices:
    """Keys that tell apart what is the same pair (vertex, key), by the order in which they stand."""
    flat_vertices, flat_keys = vertices.ravel(), keys.ravel()
    order = np.lexsort((flat_keys, flat_vertices))
    v, k = flat_vertices[order], flat_keys[order]
    new = np.concatenate([[True], (v[1:] != v[:-1]) | (k[1:] != k[:-1])]) if v.size else np.empty(0, np.bool_)
    if new.all():
        return keys
    starts = np.flatnonzero(new)
    rank = np.arange(v.size) - np.repeat(starts, np.diff(np.append(starts, v.size)))
    result = np.empty_like(flat_keys)
    result[order] = k * (int(rank.max()) + 1) + rank
    return result.reshape(keys.shape)


def _copies(vertices: Indices, keys: Indices, axis: int) -> bool:
    """Whether a grid is the same at every coordinate of an axis, but for keys that keep the copies apart."""
    v, k = np.moveaxis(vertices, axis, 0), np.moveaxis(keys, axis, 0)
    if (v != v[:1]).any():
        return False
    k = k.reshape(k.shape[0], -1)
    _, first, which = np.unique(k[0], return_index=True, return_inverse=True)
    return bool((k == k[:, first][:, which]).all())
