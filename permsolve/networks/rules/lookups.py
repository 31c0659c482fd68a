"""Reading and writing at places that data name."""

from permsolve.networks.rules.call import Call, Outcome, rule, wrapped
from permsolve.networks.symmetry.combining import fix
from permsolve.networks.symmetry.reindexing import rename
from permsolve.networks.symmetry.structure import Structure
from permsolve.networks.symmetry.value import Value, pin


def _rows(structure: Structure, value: Value, dims: list[int], index: tuple[int, ...], at: int) -> Value:
    """A value whose ``dims`` are replaced by the dimensions of an index, put at ``at``; nothing moves along them."""
    fixed = fix(structure, value, dims)
    rest = [dim for dim in range(len(value.shape)) if dim not in dims]
    names = {old: new if new < at else new + len(index) for new, old in enumerate(rest)}
    kept = [value.shape[dim] for dim in rest]
    shape = (*kept[:at], *index, *kept[at:])
    shrunk = Value(tuple(1 if dim in dims else n for dim, n in enumerate(value.shape)), fixed.bundles, fixed.uniform)
    renamed = rename(shrunk, names, shape)
    return Value(shape, renamed.bundles, renamed.uniform - set(range(at, at + len(index))))


@rule("embedding")
def embedding(call: Call) -> Outcome:
    """Rows of a table."""
    weight, indices = call["weight"], call["indices"]
    pin(call.structure, indices)
    return _rows(call.structure, weight, [0], indices.shape, 0)


@rule("embedding_bag", "_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(call: Call) -> Outcome:
    """Sums, means or maxima of rows of a table."""
    weight = call["weight"]
    for value in call.values():
        if value is not weight:
            pin(call.structure, value)
    result = _rows(call.structure, weight, [0], call.shape[:1], 0)
    return [result, *[None if shape is None else Value(shape) for shape in call.shapes[1:]]]


@rule("index_select")
def index_select(call: Call) -> Outcome:
    """Entries of one dimension, by number: they move as the index does (a gather in front of a layer)."""
    value, index = call["self"], call["index"]
    dim = wrapped(call["dim"], len(value.shape))
    rows = _rows(call.structure, value, [dim], call.shape[dim : dim + 1], dim)
    if not index.bundles or not value.shape:
        return rows
    return Value(rows.shape, (*rows.bundles, *rename(index, {0: dim}, call.shape).bundles), rows.uniform - {dim})


@rule("index", "_unsafe_index")
def advanced(call: Call) -> Outcome:
    """Advanced indexing: indexed dimensions stay, the others move on."""
    value = call.first()
    indices = call["indices"]
    for index in indices:
        if index is not None:
            pin(call.structure, index)
    used = [dim for dim, index in enumerate(indices) if index is not None]
    extra = len(call.shape) - (len(value.shape) - len(used))
    if extra < 0 or any(len(index.shape) > extra for index in indices if index is not None):
        return None  # masks
    together = used == list(range(used[0], used[-1] + 1))
    at = used[0] if together else 0
    return _rows(call.structure, value, used, call.shape[at : at + extra], at)


@rule("gather")
def gather(call: Call) -> Outcome:
    """Every entry from a place of its own along a dimension."""
    value, index = call.values()
    dim = wrapped(call["dim"], len(value.shape))
    uniform = [
        d
        for d, (a, b) in enumerate(zip(value.shape, index.shape, strict=True))
        if d != dim and d in index.uniform and a == b
    ]
    pin(call.structure, index)
    # Where the index is the same all along a dimension, all its entries are read alike.
    fixed = fix(call.structure, value, [d for d in range(len(value.shape)) if d not in uniform])
    return Value(call.shape, fixed.bundles, fixed.uniform & frozenset(uniform))
