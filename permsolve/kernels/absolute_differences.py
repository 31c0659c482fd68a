"""Sums of absolute differences of bytes: what the exchange matrix of a coarse saliency is made of.

Processors that code video have an instruction for this (x86: ``psadbw``, 32 differences and their sums at once), which
no compiler finds in a plain loop over numba's integers. It is called here by name where the target has it; elsewhere
the same sums are spelled out for vectors in general.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from permsolve.jit import intrinsic

# Bytes that one step handles: the rows of both matrices are padded with zeros to a multiple of it.
STEP = 32
# Rows of the two matrices in one tile: their sums and what they are made of fit into the registers.
TILE = (3, 4)

_BYTE, _WORD, _INDEX, _LANE = ir.IntType(8), ir.IntType(16), ir.IntType(64), ir.IntType(32)
_BYTES = ir.VectorType(_BYTE, STEP)
_SUMS = ir.VectorType(_INDEX, 4)


def _psadbw(builder: Any, total: Any, a: Any, b: Any) -> Any:
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_SUMS, [_BYTES, _BYTES]), "llvm.x86.avx2.psad.bw"
    )
    return builder.add(total, builder.call(function, [a, b]))


def _portable(builder: Any, total: Any, a: Any, b: Any) -> Any:
    a_larger = builder.icmp_unsigned(">", a, b)
    difference = builder.sub(builder.select(a_larger, a, b), builder.select(a_larger, b, a))
    # Halves are added until four sums are left; words hold the sum of two bytes, and of all that follow.
    words = builder.zext(difference, ir.VectorType(_WORD, STEP))
    lanes = STEP
    while lanes > 4:
        lanes //= 2
        low, high = (
            builder.shuffle_vector(
                words,
                words,
                ir.Constant(ir.VectorType(_LANE, lanes), [first + lane for lane in range(lanes)]),
            )
            for first in (0, lanes)
        )
        words = builder.add(low, high)
    return builder.add(total, builder.zext(words, _SUMS))


def _accumulated(
    context: Any, builder: Any, kinds: tuple[Any, Any], arguments: tuple[Any, ...], always_portable: bool
) -> list[Any]:
    """Sums of absolute differences of each of three rows and each of four, spread over the lanes of a vector each.

    ``arguments``: left, k, right, the four columns, start, length, as :func:`tile_of_differences` describes them.
    """
    left, k, right, columns, start, length = arguments

    def pointer(kind: Any, array: Any, row: Any, first: Any) -> Any:
        whole = context.make_array(kind)(context, builder, array)
        stride = cgutils.unpack_tuple(builder, whole.strides, 2)[0]
        base = builder.bitcast(whole.data, _BYTE.as_pointer())
        return builder.gep(base, [builder.add(builder.mul(row, stride), first)])

    zero = ir.Constant(_INDEX, 0)
    lefts = [pointer(kinds[0], left, builder.add(k, _INDEX(row)), zero) for row in range(TILE[0])]
    rights = [pointer(kinds[1], right, row, start) for row in cgutils.unpack_tuple(builder, columns, TILE[1])]
    portable = always_portable or "+avx2" not in context.codegen().magic_tuple()[2]
    accumulate = _portable if portable else _psadbw
    sums = [cgutils.alloca_once_value(builder, ir.Constant(_SUMS, [0] * 4)) for _ in range(TILE[0] * TILE[1])]
    with cgutils.for_range(builder, builder.udiv(length, _INDEX(STEP)), intp=_INDEX) as loop:
        offset = builder.mul(loop.index, _INDEX(STEP))

        def load(row: Any) -> Any:
            place = builder.bitcast(builder.gep(row, [offset]), _BYTES.as_pointer())
            return builder.load(place, align=1)

        a, b = [load(row) for row in lefts], [load(row) for row in rights]
        for number, total in enumerate(sums):
            row, column = divmod(number, TILE[1])
            builder.store(accumulate(builder, builder.load(total), a[row], b[column]), total)
    return [builder.load(total) for total in sums]


def _tile(name: str, always_portable: bool) -> Any:
    """The compiled function of one tile."""
    tall, wide = TILE

    def function(typing_context: Any, left: Any, k: Any, right: Any, columns: Any, start: Any, length: Any) -> Any:
        integer = types.int64
        signature = types.UniTuple(integer, tall * wide)(
            left, integer, right, types.UniTuple(integer, wide), integer, integer
        )

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args[0], signature.args[2]
            results = []
            for vector in _accumulated(context, builder, kinds, arguments, always_portable):
                lanes = [builder.extract_element(vector, _LANE(lane)) for lane in range(4)]
                results.append(builder.add(builder.add(lanes[0], lanes[1]), builder.add(lanes[2], lanes[3])))
            return context.make_tuple(builder, signature.return_type, results)

        return signature, generate

    function.__name__ = function.__qualname__ = name
    function.__doc__ = """Sums of absolute differences of each of three rows and each of four.

    Parameters
    ----------
    left : ndarray of uint8, shape (any, >= length), C order
        Its rows ``k .. k + 2`` are taken from their beginning.
    k : int
    right : ndarray of uint8, shape (any, >= start + length), C order
        Its rows ``columns`` are taken from ``start`` on.
    columns : tuple of 4 int
    start : int
    length : int
        Bytes of each row, a multiple of ``STEP``.

    Returns
    -------
    tuple of 12 int64
        Row ``k`` with each of ``columns``, then row ``k + 1`` with each, then row ``k + 2``.
    """
    return intrinsic(function)


def _screen(name: str, always_portable: bool) -> Any:
    """The compiled function of one tile whose sums are only compared."""

    def function(
        typing_context: Any,
        left: Any,
        k: Any,
        right: Any,
        columns: Any,
        start: Any,
        length: Any,
        addends: Any,
        first: Any,
        limits: Any,
    ) -> Any:
        integer = types.int64
        signature = integer(
            left,
            integer,
            right,
            types.UniTuple(integer, TILE[1]),
            integer,
            integer,
            addends,
            integer,
            types.UniTuple(integer, TILE[0]),
        )

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            *tile, addends, first, limits = arguments
            kinds = signature.args[0], signature.args[2]
            sums = _accumulated(context, builder, kinds, tuple(tile), always_portable)
            data = context.make_array(signature.args[6])(context, builder, addends).data
            four = builder.load(builder.bitcast(builder.gep(data, [first]), _SUMS.as_pointer()), align=8)
            mask = _INDEX(0)
            for row, limit in enumerate(cgutils.unpack_tuple(builder, limits, TILE[0])):
                rows = sums[row * TILE[1] : (row + 1) * TILE[1]]
                total = builder.add(_lane_sums(builder, rows), four)
                wide = ir.Constant(_SUMS, ir.Undefined)
                for lane in range(4):
                    wide = builder.insert_element(wide, limit, _LANE(lane))
                above = builder.bitcast(builder.icmp_signed(">", total, wide), ir.IntType(4))
                mask = builder.or_(mask, builder.shl(builder.zext(above, _INDEX), _INDEX(4 * row)))
            return mask

        return signature, generate

    function.__name__ = function.__qualname__ = name
    function.__doc__ = """Which sums of absolute differences of each of three rows and each of four are large.

    Parameters
    ----------
    left, k, right, columns, start, length
        As of :func:`tile_of_differences`.
    addends : ndarray of int64, contiguous, of at least ``first + 4`` entries
        Those from ``first`` on are added to the sums of the four columns.
    first : int
    limits : tuple of 3 int64
        One for each of the three rows.

    Returns
    -------
    int64
        Bit ``4 i + j`` says whether the sum of row ``k + i`` and column ``columns[j]``, plus the column's addend,
        exceeds ``limits[i]``.
    """
    return intrinsic(function)


def _lane_sums(builder: Any, vectors: list[Any]) -> Any:
    """One vector of the sums of the lanes of four."""

    def shuffled(one: Any, other: Any, lanes: tuple[int, ...]) -> Any:
        return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_LANE, 4), list(lanes)))

    def halved(one: Any, other: Any) -> Any:
        return builder.add(shuffled(one, other, (0, 4, 2, 6)), shuffled(one, other, (1, 5, 3, 7)))

    low, high = halved(vectors[0], vectors[1]), halved(vectors[2], vectors[3])
    return builder.add(shuffled(low, high, (0, 1, 4, 5)), shuffled(low, high, (2, 3, 6, 7)))


tile_of_differences = _tile("tile_of_differences", always_portable=False)
portable_tile_of_differences = _tile("portable_tile_of_differences", always_portable=True)
screened_differences = _screen("screened_differences", always_portable=False)
portable_screened_differences = _screen("portable_screened_differences", always_portable=True)
