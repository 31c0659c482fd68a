"""Which columns of which weights were permuted, and why others were not."""

from collections.abc import Container, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from permsolve.networks.matrices import FROZEN, Matrices
from permsolve.networks.prunable import PrunableWeight
from permsolve.networks.spec import INPUT_AXIS, Spec
from permsolve.pattern import Pattern


def covered(weight: PrunableWeight, spec: Spec, names: Container[str]) -> NDArray[np.bool_]:
    """Which columns of a weight belong to one of the named groups, shape (1 or rows, columns)."""
    owner = spec.aliases.get(weight.parameter, weight.parameter) if weight.parameter is not None else weight.name
    shape = tuple(weight.stored.shape)
    uses = [
        seen
        for group in spec.groups
        if group.name in names
        for use in group.uses
        if use.name == owner
        for seen in use.in_matrix(weight.layout, shape)
        if seen.axis == INPUT_AXIS
    ]
    rows, width = weight.tensor.shape[:2]
    columns = np.zeros((1 if all(use.rows is None for use in uses) else rows, width), np.bool_)
    for use in uses:
        columns[slice(*use.rows) if use.rows is not None else slice(None), use.positions.ravel()] = True
    return columns


def moved(weight: PrunableWeight, spec: Spec, names: Container[str]) -> float:
    """Number of the entries of a weight that stand in columns of the named groups."""
    entries = weight.stored.numel()
    return entries * float(covered(weight, spec, names).mean()) if entries else 0.0


def reasons(
    matrices: Matrices,
    chosen: Sequence[PrunableWeight],
    spec: Spec,
    names: Container[str],
    pattern: Pattern,
    no_gather: Mapping[str, str],
) -> dict[str, str]:
    """Why columns of a weight were not permuted, and why other matrices are no weights.

    ``no_gather`` says why no gather stands in front of some.
    """
    everything = {group.name for group in spec.groups}
    meant = {weight.name for weight in chosen}
    found = {}
    for weight in matrices.weights:
        permuted = covered(weight, spec, names)
        if permuted.all():
            continue
        part = "" if not permuted.any() else f"{_share(~permuted)} columns: "
        movable = covered(weight, spec, everything) & ~permuted
        owner = spec.aliases.get(weight.parameter or "", weight.parameter or "")
        if weight.parameter is None:
            reason = "the weight is computed from several tensors"
        elif weight.tensor.shape[INPUT_AXIS] <= pattern.m:
            reason = f"one group of {pattern.m} columns or less: their order does not matter"
        elif weight.name in matrices.frozen and weight.name not in meant:
            reason = FROZEN
        elif movable.any() and weight.name not in meant:
            reason = "left out by include= or exclude=, and no other layer wanted this order"
        elif movable.any():
            reason = "its columns move in blocks, or in sets too small, to be ordered by N:M"
        else:
            held = spec.held.get(owner)
            reason = f"held by {held}" if held else "no axis group names its input axis"
        if owner in no_gather:
            reason += f"; no gather: {no_gather[owner]}"
        found[weight.name] = part + reason
    return found | {name: other.reason for name, other in matrices.others.items()}


def _share(columns: NDArray[np.bool_]) -> str:
    width = columns.shape[1]
    count = f"{columns.mean() * width:.4g}"
    return f"{count} of {width}"


def output_orders(spec: Spec, permutations: Mapping[str, NDArray[np.int64]]) -> dict[str, dict[int, list[int]]]:
    """Free output -> axis -> the order in which it comes out."""
    orders: dict[str, dict[int, list[int]]] = {}
    for group in spec.groups:
        for use in group.uses:
            if use.name.startswith("output:") and group.name in permutations:
                length = spec.shapes[use.name][use.axis]
                index = use.order(permutations[group.name], length)
                axes = orders.setdefault(use.name, {})
                axes[use.axis] = np.asarray(axes.get(use.axis, np.arange(length)))[index].tolist()
    return orders
