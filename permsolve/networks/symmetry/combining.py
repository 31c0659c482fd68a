"""Operators that compute: elementwise, reductions, normalisations, contractions, concatenation."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod

import numpy as np

from permsolve.networks.symmetry.reindexing import expand, rename
from permsolve.networks.symmetry.structure import Structure
from permsolve.networks.symmetry.value import Bundle, Value, build, close, closed, preserve, spread


def merge(structure: Structure, values: Sequence[Value], shape: Sequence[int]) -> Value:
    """An elementwise function of tensors that broadcast to ``shape``: they must all move alike."""
    shape = tuple(shape)
    operands = [expand(closed(structure, value), shape) for value in values]
    bundles = []
    for block in _blocks(operands):
        parts = _negotiated(structure, [_only(structure, operand, block) for operand in operands], shape)
        moved = [part for part in parts if part is not None]
        grid = {dim for part in moved for dim in part.dims} | block
        still: set[int] = set()
        for operand, part in zip(operands, parts, strict=True):
            held = frozenset(dim for dim in block if operand.shape[dim] != 1 and dim not in operand.uniform)
            still |= block - part.moving if part is not None else held
        dims, vertices, keys = spread(moved[0], grid, shape)
        for part in moved[1:]:
            _, other_vertices, other_keys = spread(part, grid, shape)
            if not (np.array_equal(vertices, other_vertices) and np.array_equal(keys, other_keys)):
                structure.link(vertices, other_vertices, keys, other_keys)
        result = preserve(structure, Bundle(dims, frozenset(block), vertices, keys), still, shape)
        if result is not None:
            bundles.append(result)
    uniform = frozenset(range(len(shape))).intersection(*(operand.uniform for operand in operands))
    ones = {dim for dim, length in enumerate(shape) if length == 1}
    return Value(shape, tuple(bundles), uniform | ones)


def joined(structure: Structure, values: Sequence[Value], dim: int) -> Value:
    """Concatenation along ``dim``: there positions move within their own part, elsewhere all parts alike."""
    shape = list(values[0].shape)
    shape[dim] = sum(value.shape[dim] for value in values)
    bundles = []
    for block in _blocks(values):
        parts = [_only(structure, value, block) for value in values]
        if _same_source(parts, dim):
            bundles.append(_chained(structure, values, parts, block | {dim}, dim))
        elif dim in {other for part in parts if part is not None for other in part.dims}:
            parts = [
                None if part is None else close(structure, part, value.shape)
                for part, value in zip(parts, values, strict=True)
            ]
            bundles.append(_chained(structure, values, parts, block, dim))
        else:
            # Nothing depends on the coordinate along dim: all parts must move alike, as in an elementwise function.
            slices = [
                Value(_cut(v.shape, dim), tuple(filter(None, [part])), v.uniform)
                for v, part in zip(values, parts, strict=True)
            ]
            bundles.extend(merge(structure, slices, _cut(values[0].shape, dim)).bundles)
    uniform = frozenset(range(len(shape))).intersection(*(value.uniform for value in values)) - {dim}
    return Value(tuple(shape), tuple(bundle for bundle in bundles if bundle is not None), uniform)


def _cut(shape: Sequence[int], dim: int) -> tuple[int, ...]:
    return (*shape[:dim], 1, *shape[dim + 1 :])


def _chained(
    structure: Structure, values: Sequence[Value], parts: Sequence[Bundle | None], block: frozenset[int], dim: int
) -> Bundle | None:
    """One bundle out of the bundles of the parts, laid end to end along ``dim``."""
    grid = {other for part in parts if part is not None for other in part.dims} | block
    vertices, keys = [], []
    source = parts[0].source if parts[0] is not None else None
    for number, (value, part) in enumerate(zip(values, parts, strict=True)):
        _, v, k = spread(part or _filler(structure, value, block), grid, value.shape)
        vertices.append(v)
        keys.append(k if source is not None else k * len(values) + number)
    dims = tuple(sorted(grid))
    axis = dims.index(dim)
    return build(structure, dims, block, np.concatenate(vertices, axis), np.concatenate(keys, axis), source)


def _same_source(parts: Sequence[Bundle | None], dim: int) -> bool:
    """Whether all parts are open selections of one and the same thing, laid out alike."""
    first = parts[0]
    return (
        first is not None
        and first.source is not None
        and all(
            part is not None and part.source is first.source and {*part.dims, dim} == {*first.dims, dim}
            for part in parts
        )
    )


def _filler(structure: Structure, value: Value, block: frozenset[int]) -> Bundle:
    """Vertices for a part that belongs to no parameter; they may move where the part is uniform."""
    dims = tuple(sorted(block))
    shape = tuple(value.shape[dim] for dim in dims)
    vertices = structure.fresh(prod(shape)).reshape(shape)
    filler = Bundle(dims, block, vertices, np.zeros(shape, np.int64))
    structure.mark(vertices, filler.keys)
    preserve(structure, filler, block & value.still, value.shape)
    return filler


def reduce(structure: Structure, value: Value, dims: Iterable[int], *, keepdim: bool, hidden: bool = False) -> Value:
    """A function of all entries along ``dims`` in which their order does not matter.

    ``hidden=True`` lets the reduced dimensions keep their freedom (as in a contraction), where one must choose.
    """
    gone = frozenset(dims)
    settled = _settled(structure, value, gone, hidden)
    bundles = tuple(bundle for bundle in settled if not bundle.moving & gone)
    reduced = Value(_shortened(value.shape, gone), bundles, value.uniform | gone)
    if keepdim:
        return reduced
    kept = [dim for dim in range(len(value.shape)) if dim not in gone]
    return rename(reduced, {old: new for new, old in enumerate(kept)}, (value.shape[dim] for dim in kept))


def normalise(structure: Structure, value: Value, dims: Iterable[int]) -> Value:
    """A function along ``dims`` that permutes its output as its input is permuted (softmax, standardisation)."""
    along = frozenset(dims)
    return Value(value.shape, _settled(structure, value, along, False), value.uniform)


def fix(structure: Structure, value: Value, dims: Iterable[int]) -> Value:
    """Any function that treats all slices along ``dims`` alike, and to which the order along them matters."""
    along = frozenset(dims)
    bundles = []
    for bundle in closed(structure, value).bundles:
        held = preserve(structure, bundle, along, value.shape)
        if held is not None:
            bundles.append(_tied(structure, held, along))
    return Value(value.shape, tuple(bundles), value.uniform - along)


def contract(
    structure: Structure, operands: Sequence[Value], letters: Sequence[str], result: str, sizes: Mapping[str, int]
) -> Value:
    """A sum of products, as for einsum: a letter per dimension, those that are not in ``result`` are summed.

    Parameters
    ----------
    structure : Structure
        Receives links and marks.
    operands : sequence of Value
        The factors.
    letters : sequence of str
        The letters of each; none twice in one operand.
    result : str
        The letters of the result.
    sizes : mapping of str to int
        Length of each letter.
    """
    everything = "".join(dict.fromkeys(result + "".join(letters)))
    shape = tuple(sizes[letter] for letter in everything)
    spreaded = []
    for operand, own in zip(operands, letters, strict=True):
        shared = [
            dim
            for dim, letter in enumerate(own)
            if letter in result and any(letter in o for o in letters if o is not own)
        ]
        held = operand
        for dim in shared:  # heads stay in their place, so that each is free inside
            held = _unjoined(structure, held, dim)
        names = {dim: everything.index(letter) for dim, letter in enumerate(own)}
        lengths = [operand.shape[own.index(letter)] if letter in own else 1 for letter in everything]
        spreaded.append(rename(held, names, lengths))
    product = merge(structure, spreaded, shape)
    summed = [dim for dim, letter in enumerate(everything) if letter not in result]
    return reduce(structure, product, summed, keepdim=False, hidden=True)


def _unjoined(structure: Structure, value: Value, dim: int) -> Value:
    """Hold a dimension still in bundles that move along others, too."""
    bundles = []
    for bundle in value.bundles:
        held = preserve(structure, bundle, [dim], value.shape) if len(bundle.moving) > 1 else bundle
        bundles.append(held)
    return Value(value.shape, tuple(filter(None, bundles)), value.uniform)


def _settled(structure: Structure, value: Value, along: frozenset[int], hidden: bool) -> tuple[Bundle, ...]:
    """Bundles after a function along some dimensions: each moves only along them, or only along others."""
    bundles = []
    for bundle in closed(structure, value).bundles:
        inside, outside = bundle.moving & along, bundle.moving - along
        if inside and outside:
            choose_inside = hidden or _extent(value, inside) >= _extent(value, outside)
            held = preserve(structure, bundle, outside if choose_inside else inside, value.shape)
            assert held is not None
        else:
            held = bundle
        bundles.append(held if held.moving & along else _tied(structure, held, along))
    return tuple(bundles)


def _extent(value: Value, dims: Iterable[int]) -> int:
    return prod(value.shape[dim] for dim in dims)


def _tied(structure: Structure, bundle: Bundle, along: frozenset[int]) -> Bundle:
    """Make a bundle move alike at every coordinate of a part of its base, which it then no longer needs."""
    axes = [axis for axis, dim in enumerate(bundle.dims) if dim in along]
    if not axes:
        return bundle
    rest = [axis for axis in range(len(bundle.dims)) if axis not in axes]
    order = (*axes, *rest)
    tail = tuple(bundle.vertices.shape[axis] for axis in rest)
    vertices = bundle.vertices.transpose(order).reshape(-1, *tail)
    keys = bundle.keys.transpose(order).reshape(-1, *tail)
    for other_vertices, other_keys in zip(vertices[1:], keys[1:], strict=True):
        structure.link(vertices[0], other_vertices, keys[0], other_keys)
    structure.mark(vertices[0], keys[0])
    dims = tuple(bundle.dims[axis] for axis in rest)
    return Bundle(dims, bundle.moving, vertices[0], keys[0])


def _shortened(shape: tuple[int, ...], dims: frozenset[int]) -> tuple[int, ...]:
    return tuple(1 if dim in dims else length for dim, length in enumerate(shape))


def _blocks(values: Sequence[Value]) -> list[frozenset[int]]:
    """Smallest sets of dimensions such that every bundle moves within one of them."""
    blocks: list[frozenset[int]] = []
    for value in values:
        for bundle in value.bundles:
            touching = [block for block in blocks if block & bundle.moving]
            blocks = [block for block in blocks if not block & bundle.moving]
            blocks.append(bundle.moving.union(*touching))
    return blocks


def _negotiated(
    structure: Structure, parts: Sequence[Bundle | None], shape: tuple[int, ...]
) -> Sequence[Bundle | None]:
    """Where one operand moves along several dimensions jointly, and another along the outer ones only: hold these.

    Otherwise whole blocks would move, and nothing inside them.
    """
    joint = max((part for part in parts if part is not None), key=lambda part: len(part.moving))
    inner = _inner(joint)
    if inner is None:
        return parts
    result: list[Bundle | None] = []
    for part in parts:
        if part is not None and part.moving < joint.moving and inner not in part.moving:
            structure.pin(part.vertices, soft=True)
            result.append(None)
        else:
            result.append(part)
    return result


def _inner(bundle: Bundle) -> int | None:
    """The dimension along which a bundle of several follows the order of its channels in memory."""
    for axis, dim in enumerate(bundle.dims):
        if dim in bundle.moving and len(bundle.moving) > 1 and (np.diff(bundle.vertices, axis=axis) == 1).all():
            return dim
    return None


def _only(structure: Structure, value: Value, block: frozenset[int]) -> Bundle | None:
    """The bundle that moves within a block of dimensions; where there are several, all but the largest are held."""
    inside = [bundle for bundle in value.bundles if bundle.moving & block]
    if not inside:
        return None
    best = max(inside, key=lambda bundle: bundle.weight)
    for bundle in inside:
        if bundle is not best:
            structure.pin(bundle.vertices, soft=True)
    return best
