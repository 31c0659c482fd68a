"""Random elements of the group that a symmetry structure describes, applied to real arrays."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from permsolve.networks.symmetry.resolve import resolve
from permsolve.networks.symmetry.structure import Indices, Structure
from permsolve.networks.symmetry.value import Bundle, Value

Array = NDArray[np.float64]


def free_value(structure: Structure, shape: Sequence[int]) -> Value:
    """A parameter of which every axis may be permuted."""
    bundles = []
    for axis, length in enumerate(shape):
        if length > 1:
            vertices = structure.fresh(length)
            structure.mark(vertices, np.zeros(length, np.int64))
            bundles.append(Bundle((axis,), frozenset([axis]), vertices, np.zeros(length, np.int64)))
    return Value(tuple(shape), tuple(bundles))


def random_element(structure: Structure, rng: np.random.Generator) -> Indices:
    """Image of every vertex under a random automorphism out of those that were found."""
    image = np.arange(structure.size)
    for rows in resolve(structure):
        image[rows] = rows[rng.permutation(rows.shape[0])]
    return image


def freedom(structure: Structure, value: Value) -> list[int]:
    """Sizes of the sets of positions of a parameter that may be exchanged, axis after axis."""
    return [
        int(np.isin(rows, bundle.vertices).any(axis=1).sum())
        for bundle in value.bundles
        for rows in resolve(structure)
        if np.isin(rows, bundle.vertices).any()
    ]


def moved(array: Array, value: Value, image: Indices) -> Array:
    """What a tensor becomes: the content of position (vertex, key) goes to position (image of vertex, key)."""
    for bundle in value.bundles:
        grid = [array.shape[dim] for dim in bundle.dims]
        old = {pair: place for place, pair in enumerate(_pairs(bundle.vertices, bundle.keys))}
        assert len(old) == prod(grid), "two positions hold the same vertex and key"
        source = np.empty(prod(grid), np.int64)
        for pair, place in zip(_pairs(image[bundle.vertices], bundle.keys), range(prod(grid)), strict=True):
            source[old[pair]] = place
        _check_base(bundle, source, grid)
        rest = [dim for dim in range(array.ndim) if dim not in bundle.dims]
        order = [*bundle.dims, *rest]
        flat = array.transpose(order).reshape(prod(grid), *(array.shape[dim] for dim in rest))
        array = flat[source].reshape([array.shape[dim] for dim in order]).transpose(np.argsort(order))
    return array


def _pairs(vertices: Indices, keys: Indices) -> list[tuple[int, int]]:
    return list(zip(vertices.ravel().tolist(), keys.ravel().tolist(), strict=True))


def _check_base(bundle: Bundle, source: Indices, grid: Sequence[int]) -> None:
    """Nothing changes its coordinate along a dimension that a bundle does not move."""
    before, after = np.unravel_index(source, grid), np.unravel_index(np.arange(source.size), grid)
    for axis, dim in enumerate(bundle.dims):
        assert dim in bundle.moving or (before[axis] == after[axis]).all()


def assert_still_and_uniform(array: Array, value: Value) -> None:
    """A tensor is the same all along the dimensions that are said to be uniform."""
    for dim in value.uniform:
        first = array.take([0], dim) if array.shape[dim] else array
        np.testing.assert_allclose(array, np.broadcast_to(first, array.shape), atol=1e-12)


def moved_all(arrays: Mapping[str, Array], values: Mapping[str, Value], image: Indices) -> dict[str, Array]:
    """Every parameter moved."""
    return {name: moved(array, values[name], image) for name, array in arrays.items()}
