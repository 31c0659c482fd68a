"""Operators that move the entries of a tensor around without computing anything."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from permsolve.networks.symmetry.structure import Indices, Structure
from permsolve.networks.symmetry.value import Bundle, Value, build, close, pin, preserve, spread

_Segment = tuple[tuple[int, ...], tuple[int, ...]]


def rename(value: Value, names: Mapping[int, int], shape: Iterable[int]) -> Value:
    """Give dimensions new numbers (and so a new order); those that are not named must have length 1."""
    bundles = []
    for bundle in value.bundles:
        renamed = [names[dim] for dim in bundle.dims]
        order = np.argsort(renamed)
        bundles.append(
            Bundle(
                tuple(sorted(renamed)),
                frozenset(names[dim] for dim in bundle.moving),
                bundle.vertices.transpose(order),
                bundle.keys.transpose(order),
                bundle.source,
            )
        )
    lengths = tuple(shape)
    uniform = {names[dim] for dim in value.uniform if dim in names}
    new = set(range(len(lengths))) - set(names.values())
    return Value(lengths, tuple(bundles), frozenset(uniform | new))


def permute(value: Value, order: Sequence[int]) -> Value:
    """Re-order the dimensions: new dimension ``i`` is the old ``order[i]``."""
    names = {old: new for new, old in enumerate(order)}
    return rename(value, names, (value.shape[old] for old in order))


def insert(value: Value, dim: int, length: int = 1) -> Value:
    """A new dimension along which the tensor is repeated."""
    shape = [*value.shape[:dim], length, *value.shape[dim:]]
    return rename(value, {old: old + (old >= dim) for old in range(len(value.shape))}, shape)


def squeeze(value: Value, dims: Iterable[int]) -> Value:
    """Drop those of the dimensions that have length 1."""
    gone = {dim for dim in dims if value.shape[dim] == 1}
    kept = [dim for dim in range(len(value.shape)) if dim not in gone]
    return rename(value, {old: new for new, old in enumerate(kept)}, (value.shape[dim] for dim in kept))


def expand(value: Value, shape: Sequence[int]) -> Value:
    """Broadcast to a shape of the same or a higher rank."""
    lead = len(shape) - len(value.shape)
    names = {dim: dim + lead for dim in range(len(value.shape))}
    moved = rename(value, names, [1] * lead + list(value.shape))
    stretched = {dim for dim, (old, new) in enumerate(zip(moved.shape, shape, strict=True)) if old == 1 and new != 1}
    return Value(tuple(shape), moved.bundles, moved.uniform | stretched)


def take(structure: Structure, value: Value, dim: int, index: NDArray[np.integer]) -> Value:
    """Entry ``i`` along ``dim`` of the result is entry ``index[i]`` of the tensor."""
    shape = (*value.shape[:dim], int(index.size), *value.shape[dim + 1 :])
    if index.size == value.shape[dim] and (index == np.arange(index.size)).all():
        return value
    bundles = []
    for bundle in value.bundles:
        if dim in bundle.dims:
            axis = bundle.dims.index(dim)
            vertices, keys = bundle.vertices.take(index, axis), bundle.keys.take(index, axis)
            source = bundle if bundle.source is None else bundle.source
            taken = build(structure, bundle.dims, bundle.moving, vertices, keys, source)
            if taken is not None:
                bundles.append(taken)
        else:
            bundles.append(bundle)
    return _separated(structure, Value(shape, tuple(bundles), value.uniform))


def select(structure: Structure, value: Value, dim: int, place: int) -> Value:
    """One entry along a dimension, which disappears."""
    return squeeze(take(structure, value, dim, np.array([place])), [dim])


def reshape(structure: Structure, value: Value, shape: Sequence[int]) -> Value:
    """View as another shape of the same number of entries."""
    shape = tuple(shape)
    if shape == value.shape:
        return value
    if prod(value.shape) == 0:
        pin(structure, value)
        return Value(shape)
    segments = _segments(value.shape, shape)
    bundles = value.bundles
    for old, _ in segments:
        bundles = _one_moving(structure, bundles, old, value.shape)
    results = []
    for given in bundles:
        touched = [segment for segment in segments if set(segment[0]) & set(given.dims)]
        grows = any(not set(old) <= set(given.dims) for old, _ in touched)
        bundle = close(structure, given, value.shape) if grows else given
        if bundle is None:
            continue
        touched = [segment for segment in segments if set(segment[0]) & set(bundle.dims)]
        _, vertices, keys = spread(bundle, (dim for old, _ in touched for dim in old), value.shape)
        dims = [dim for _, new in touched for dim in new]
        moving = [dim for old, new in touched if set(old) & bundle.moving for dim in new]
        lengths = [shape[dim] for dim in dims]
        made = build(structure, dims, moving, vertices.reshape(lengths), keys.reshape(lengths), bundle.source)
        if made is not None:
            results.append(made)
    uniform = {dim for old, new in segments if set(old) <= value.uniform for dim in new}
    ones = {dim for dim, length in enumerate(shape) if length == 1}
    return _separated(structure, Value(shape, tuple(results), frozenset(uniform | ones)))


def _segments(old: tuple[int, ...], new: tuple[int, ...]) -> list[_Segment]:
    """Smallest runs of dimensions (those of length 1 aside) with equal products on both sides."""
    segments: list[_Segment] = []
    left = [dim for dim, length in enumerate(old) if length != 1]
    right = [dim for dim, length in enumerate(new) if length != 1]
    while left:
        a, b = [left.pop(0)], [right.pop(0)]
        while (x := prod(old[dim] for dim in a)) != (y := prod(new[dim] for dim in b)):
            if x < y:
                a.append(left.pop(0))
            else:
                b.append(right.pop(0))
        segments.append((tuple(a), tuple(b)))
    return segments


def _one_moving(
    structure: Structure, bundles: tuple[Bundle, ...], dims: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[Bundle, ...]:
    """Hold still, along ``dims``, all but the largest of the bundles that move along them."""
    rivals = [bundle for bundle in bundles if bundle.moving & set(dims)]
    if len(rivals) < 2:
        return bundles
    # The inner one, if it is large enough to be of use: what N:M groups is what lies side by side.
    best = max(rivals, key=lambda bundle: (min(bundle.weight, 8), max(bundle.moving & set(dims)), bundle.weight))
    kept: list[Bundle] = []
    for bundle in bundles:
        if bundle is best or bundle not in rivals:
            kept.append(bundle)
        elif (held := preserve(structure, bundle, dims, shape, soft=True)) is not None:
            kept.append(held)
    return tuple(kept)


def _separated(structure: Structure, value: Value) -> Value:
    """See to it that no dimension moves with one bundle and is the base of another."""
    bundles = list(value.bundles)
    for bundle in value.bundles:
        for other in list(bundles):
            clash = other.moving & (frozenset(bundle.dims) - bundle.moving)
            if clash and bundle in bundles:
                smaller = min(bundle, other, key=lambda one: one.weight)
                bundles.remove(smaller)
                structure.pin(smaller.vertices, soft=True)
    return Value(value.shape, tuple(bundles), value.uniform)


def windows(length: int, size: int, step: int) -> Indices:
    """Positions of all windows of ``size`` entries, every ``step``, one after the other."""
    starts = np.arange(0, length - size + 1, step)
    return (starts[:, None] + np.arange(size)).ravel().astype(np.int64)
