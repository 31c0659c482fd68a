"""Two passes over a row, many entries at once: what an assignment problem is solved with.

Both look for the best of a row and where it stands. LLVM makes no vectors of such loops: minima and maxima over a loop
are left to scalars, and so is what remembers a place. Spelled out for vectors they are five to eight times as fast.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from permsolve.jit import intrinsic

# Lanes of a vector, and vectors that are worked on side by side so that none waits for the one before it.
LANES = 8
SIDE_BY_SIDE = 4
# Rows are filled up to a multiple of so many entries.
STEP = LANES * SIDE_BY_SIDE
# Far from everything: worse than any entry, and worse than that.
FAR = 1e30
FARTHER = 1e37

_FLOAT, _INT, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)

Vectors = tuple[Any, ...]


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _INT(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(_INTS, [0] * LANES))


def _constant(value: float) -> Any:
    return ir.Constant(_FLOATS, [value] * LANES)


def _data(context: Any, builder: Any, kind: Any, array: Any, row: Any = None) -> Any:
    """Where an array begins, or a row of it."""
    whole = context.make_array(kind)(context, builder, array)
    if row is None:
        return whole.data
    width = cgutils.unpack_tuple(builder, whole.shape, 2)[1]
    return builder.gep(whole.data, [builder.mul(row, width)])


def _loaded(builder: Any, data: Any, offset: Any, kind: Any) -> tuple[Any, Any]:
    """A vector and its place."""
    place = builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())
    return builder.load(place, align=4), place


def _narrowed(builder: Any, found: list[Vectors], best_of: Any) -> Vectors:
    """The one lane that is left when vectors, and then their halves, are put against each other."""
    while len(found) > 1:
        found = [best_of(builder, one, other) for one, other in zip(found[::2], found[1::2], strict=True)]
    (last,) = found
    lanes = LANES
    while lanes > 1:
        lanes //= 2
        low, high = (
            tuple(
                builder.shuffle_vector(
                    vector, vector, ir.Constant(ir.VectorType(_INT, lanes), [first + lane for lane in range(lanes)])
                )
                for vector in last
            )
            for first in (0, lanes)
        )
        last = best_of(builder, low, high)
    return tuple(builder.extract_element(vector, _INT(0)) for vector in last)


def _places(builder: Any, step: Any, number: int) -> Any:
    """Places in the row of the lanes of a vector, given in which step each was found."""
    first = ir.Constant(_INTS, [number * LANES + lane for lane in range(LANES)])
    return builder.add(builder.mul(step, ir.Constant(_INTS, [STEP] * LANES)), first)


def _better_two(builder: Any, one: Vectors, other: Vectors) -> Vectors:
    """Of two pairs of largest entries, with the place of the first, the largest pair."""
    larger = builder.fcmp_ordered(">", other[0], one[0])
    loser = builder.select(larger, one[0], other[0])
    second = builder.select(larger, other[1], one[1])
    return (
        builder.select(larger, other[0], one[0]),
        builder.select(builder.fcmp_ordered(">", loser, second), loser, second),
        builder.select(larger, other[2], one[2]),
    )


def _nearer(builder: Any, one: Vectors, other: Vectors) -> Vectors:
    """Of two smallest entries with their places the smaller."""
    smaller = builder.fcmp_ordered("<", other[0], one[0])
    return builder.select(smaller, other[0], one[0]), builder.select(smaller, other[1], one[1])


def _two_best(typing_context: Any, gain: Any, i: Any, price: Any) -> Any:
    """The largest ``gain[i, j] - price[j]``, its place j, and the second largest.

    Parameters
    ----------
    gain : ndarray of float32, shape (any, width), C order, width a multiple of ``STEP``
    i : int
    price : ndarray of float32, shape (width,), contiguous

    Returns
    -------
    tuple of float32, int64, float32
    """
    signature = types.Tuple((types.float32, types.int64, types.float32))(gain, types.int64, price)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = _data(context, builder, signature.args[0], arguments[0], arguments[1])
        prices = _data(context, builder, signature.args[2], arguments[2])
        width = cgutils.unpack_tuple(
            builder, context.make_array(signature.args[2])(context, builder, arguments[2]).shape, 1
        )[0]
        held = [
            (
                cgutils.alloca_once_value(builder, _constant(-FARTHER)),
                cgutils.alloca_once_value(builder, _constant(-FARTHER)),
                cgutils.alloca_once_value(builder, ir.Constant(_INTS, [0] * LANES)),
            )
            for _ in range(SIDE_BY_SIDE)
        ]
        with cgutils.for_range(builder, builder.udiv(width, _INDEX(STEP)), intp=_INDEX) as loop:
            step = _splat(builder, builder.trunc(loop.index, _INT), _INTS)
            for number, (first, second, place) in enumerate(held):
                offset = builder.add(builder.mul(loop.index, _INDEX(STEP)), _INDEX(number * LANES))
                value = builder.fsub(
                    _loaded(builder, row, offset, _FLOATS)[0], _loaded(builder, prices, offset, _FLOATS)[0]
                )
                best, next_best = builder.load(first), builder.load(second)
                larger = builder.fcmp_ordered(">", value, best)
                loser = builder.select(larger, best, value)
                builder.store(builder.select(builder.fcmp_ordered(">", loser, next_best), loser, next_best), second)
                builder.store(builder.select(larger, value, best), first)
                builder.store(builder.select(larger, step, builder.load(place)), place)
        found = [
            (builder.load(first), builder.load(second), _places(builder, builder.load(place), number))
            for number, (first, second, place) in enumerate(held)
        ]
        best, next_best, place = _narrowed(builder, found, _better_two)
        return context.make_tuple(builder, signature.return_type, [best, builder.sext(place, _INDEX), next_best])

    return signature, generate


def _relax(typing_context: Any, gain: Any, i: Any, price: Any, shift: Any, distance: Any, previous: Any) -> Any:
    """Shorten distances to columns by a way through row i, and find the nearest column that is open.

    Where ``price[j] - gain[i, j] - shift`` is less than ``distance[j]`` it takes its place, and ``i`` that of
    ``previous[j]``.

    Parameters
    ----------
    gain, i, price
        As of :data:`two_best`.
    shift : float32
    distance : ndarray of float32, shape (width,), contiguous
        ``-FARTHER`` where a column is closed, which it stays.
    previous : ndarray of int32, shape (width,), contiguous

    Returns
    -------
    tuple of float32, int64
        The least distance of an open column, and which that is.
    """
    signature = types.Tuple((types.float32, types.int64))(gain, types.int64, price, types.float32, distance, previous)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = _data(context, builder, signature.args[0], arguments[0], arguments[1])
        prices, distances, origins = (_data(context, builder, signature.args[k], arguments[k]) for k in (2, 4, 5))
        width = cgutils.unpack_tuple(
            builder, context.make_array(signature.args[2])(context, builder, arguments[2]).shape, 1
        )[0]
        # By name, as a selection that is stored where it came from becomes a masked store, which takes AMD's processors
        # some twenty cycles.
        minimum = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_FLOATS, [_FLOATS, _FLOATS]), f"llvm.minnum.v{LANES}f32"
        )
        shift = _splat(builder, arguments[3], _FLOATS)
        origin = _splat(builder, builder.trunc(arguments[1], _INT), _INTS)
        held = [
            (
                cgutils.alloca_once_value(builder, _constant(FARTHER)),
                cgutils.alloca_once_value(builder, ir.Constant(_INTS, [0] * LANES)),
            )
            for _ in range(SIDE_BY_SIDE)
        ]
        with cgutils.for_range(builder, builder.udiv(width, _INDEX(STEP)), intp=_INDEX) as loop:
            step = _splat(builder, builder.trunc(loop.index, _INT), _INTS)
            for number, (nearest, place) in enumerate(held):
                offset = builder.add(builder.mul(loop.index, _INDEX(STEP)), _INDEX(number * LANES))
                old, at = _loaded(builder, distances, offset, _FLOATS)
                before, from_ = _loaded(builder, origins, offset, _INTS)
                reduced = builder.fsub(
                    _loaded(builder, prices, offset, _FLOATS)[0], _loaded(builder, row, offset, _FLOATS)[0]
                )
                way = builder.fsub(reduced, shift)
                shorter = builder.fcmp_ordered("<", way, old)
                new = builder.call(minimum, [way, old], fastmath=("nnan", "nsz"))
                builder.store(new, at, align=4)
                builder.store(builder.select(shorter, origin, before), from_, align=4)
                closed = builder.fcmp_ordered("<=", new, _constant(-FARTHER))
                open_ = builder.select(closed, _constant(FARTHER), new)
                best = builder.load(nearest)
                smaller = builder.fcmp_ordered("<", open_, best)
                builder.store(builder.select(smaller, open_, best), nearest)
                builder.store(builder.select(smaller, step, builder.load(place)), place)
        found = [
            (builder.load(nearest), _places(builder, builder.load(place), number))
            for number, (nearest, place) in enumerate(held)
        ]
        least, place = _narrowed(builder, found, _nearer)
        return context.make_tuple(builder, signature.return_type, [least, builder.sext(place, _INDEX)])

    return signature, generate


two_best: Any = intrinsic(_two_best)
relax: Any = intrinsic(_relax)
