"""Operators that move entries around: views, slices, concatenation, padding, shuffles."""

from collections.abc import Sequence
from math import prod

import numpy as np

from permsolve.networks.rules.call import Call, Outcome, rule, wrapped, wrapped_all
from permsolve.networks.symmetry.combining import fix, joined
from permsolve.networks.symmetry.reindexing import (
    expand,
    insert,
    permute,
    rename,
    reshape,
    select,
    squeeze,
    take,
    windows,
)
from permsolve.networks.symmetry.value import Value, uniform_value


@rule("view", "reshape", "_unsafe_view", "flatten", "unflatten", "view_as", "reshape_as", "_reshape_alias", "ravel")
def view(call: Call) -> Outcome:
    """Another shape for the same entries."""
    if "dtype" in call.arguments:  # other bits for the same memory
        return None
    value = call.first()
    if prod(value.shape) != prod(call.shape):  # lengths that depend on data: nobody knows which entries go where
        return None
    return reshape(call.structure, value, call.shape)


@rule("expand", "expand_as", "broadcast_to")
def broadcast(call: Call) -> Outcome:
    """Repeat along dimensions of length 1 and new ones."""
    return expand(call.first(), call.shape)


@rule("permute", "transpose", "t", "movedim", "moveaxis", "swapaxes", "mT", "numpy_T", "adjoint")
def reorder(call: Call) -> Outcome:
    """Re-order the dimensions."""
    value = call.first()
    rank = len(value.shape)
    order = list(range(rank))
    if call.name == "aten.permute":
        order = [wrapped(dim, rank) for dim in call["dims"]]
    elif call.name in ("aten.transpose", "aten.swapaxes"):
        a, b = (wrapped(dim, rank) for dim in list(call.arguments.values())[1:3])
        order[a], order[b] = order[b], order[a]
    elif call.name in ("aten.movedim", "aten.moveaxis"):
        source = wrapped_all(call["source"], rank)
        destination = wrapped_all(call["destination"], rank)
        rest = iter(dim for dim in range(rank) if dim not in source)
        order = [source[destination.index(dim)] if dim in destination else next(rest) for dim in range(rank)]
    elif call.name == "aten.numpy_T":
        order.reverse()
    elif rank >= 2:
        order[-2:] = order[:-3:-1]
    return permute(value, order)


@rule("squeeze")
def drop_ones(call: Call) -> Outcome:
    """Drop dimensions of length 1."""
    value = call.first()
    rank = len(value.shape)
    return squeeze(value, wrapped_all(call.arguments.get("dim"), rank))


@rule("unsqueeze")
def add_one(call: Call) -> Outcome:
    """A new dimension of length 1."""
    return insert(call.first(), wrapped(call["dim"], len(call.shape)))


@rule("atleast_1d", "atleast_2d", "atleast_3d")
def at_least(call: Call) -> Outcome:
    """Dimensions of length 1 added at the ends."""
    return reshape(call.structure, call.first(), call.shape)


@rule("select")
def pick(call: Call) -> Outcome:
    """One entry of a dimension."""
    value = call.first()
    dim = wrapped(call["dim"], len(value.shape))
    return select(call.structure, value, dim, call["index"] % value.shape[dim])


@rule("slice", "narrow")
def cut(call: Call) -> Outcome:
    """A range of a dimension."""
    value = call.first()
    dim = wrapped(call["dim"], len(value.shape))
    length = value.shape[dim]
    if call.name == "aten.narrow":
        if isinstance(call["start"], Value):
            return None
        start = call["start"] % length if call["start"] < 0 else call["start"]
        index = np.arange(start, start + call["length"])
    else:
        index = np.arange(length)[slice(call["start"], call["end"], call["step"])]
    return take(call.structure, value, dim, index)


@rule(
    "split", "split_with_sizes", "chunk", "tensor_split", "unsafe_chunk", "unsafe_split", "hsplit", "vsplit", "dsplit"
)
def pieces(call: Call) -> Outcome:
    """Consecutive parts of a dimension."""
    value = call.first()
    rank = len(value.shape)
    fixed = {"aten.hsplit": min(1, rank - 1), "aten.vsplit": 0, "aten.dsplit": 2}
    dim = fixed[call.name] if call.name in fixed else wrapped(call["dim"], rank)
    sizes = [shape[dim] for shape in call.shapes if shape is not None]
    ends = np.cumsum(sizes)
    if int(ends[-1]) != value.shape[dim]:
        return None
    return [take(call.structure, value, dim, np.arange(end - size, end)) for size, end in zip(sizes, ends, strict=True)]


@rule("unbind")
def unbind(call: Call) -> Outcome:
    """Every entry of a dimension on its own."""
    value = call.first()
    dim = wrapped(call["dim"], len(value.shape))
    return [select(call.structure, value, dim, place) for place in range(value.shape[dim])]


@rule("cat", "concat", "concatenate")
def concatenate(call: Call) -> Outcome:
    """One after the other along a dimension."""
    values = [value for value in call["tensors"] if len(value.shape) == len(call.shape)]
    return joined(call.structure, values, wrapped(call["dim"], len(call.shape)))


@rule("stack")
def stack(call: Call) -> Outcome:
    """Side by side along a new dimension."""
    dim = wrapped(call["dim"], len(call.shape))
    return joined(call.structure, [insert(value, dim) for value in call["tensors"]], dim)


@rule("hstack", "vstack", "dstack", "column_stack")
def stack_along(call: Call) -> Outcome:
    """Concatenation along a dimension that the name fixes, for tensors that have it already."""
    dim = {"aten.vstack": 0, "aten.dstack": 2}.get(call.name, min(1, len(call.shape) - 1))
    values = call["tensors"]
    if any(len(value.shape) != len(call.shape) for value in values):
        return None
    return joined(call.structure, values, dim)


@rule("flip", "fliplr", "flipud")
def flip(call: Call) -> Outcome:
    """Dimensions backwards."""
    value = call.first()
    dims = {"aten.fliplr": [1], "aten.flipud": [0]}.get(call.name) or wrapped_all(call["dims"], len(value.shape))
    for dim in dims:
        value = take(call.structure, value, dim, np.arange(value.shape[dim])[::-1])
    return value


@rule("roll")
def roll(call: Call) -> Outcome:
    """Dimensions shifted in a circle."""
    value = call.first()
    dims, shifts = call["dims"], call["shifts"]
    if not dims:
        flat = reshape(call.structure, value, [int(np.prod(value.shape))])
        index = np.roll(np.arange(flat.shape[0]), shifts[0])
        return reshape(call.structure, take(call.structure, flat, 0, index), value.shape)
    for dim, shift in zip(wrapped_all(dims, len(value.shape)), shifts, strict=True):
        value = take(call.structure, value, dim, np.roll(np.arange(value.shape[dim]), shift))
    return value


@rule("repeat", "tile")
def repeat(call: Call) -> Outcome:
    """Whole dimensions several times over."""
    value = expand_rank(call.first(), len(call.shape))
    for dim, (old, new) in enumerate(zip(value.shape, call.shape, strict=True)):
        if old == 1:
            value = expand(value, [new if other == dim else length for other, length in enumerate(value.shape)])
        else:
            value = take(call.structure, value, dim, np.tile(np.arange(old), new // old))
    return value


def expand_rank(value: Value, rank: int) -> Value:
    """Dimensions of length 1 in front, up to a rank."""
    return expand(value, [*[1] * (rank - len(value.shape)), *value.shape])


@rule("repeat_interleave")
def repeat_entries(call: Call) -> Outcome:
    """Each entry of a dimension several times over."""
    repeats, dim = call["repeats"], call.arguments.get("dim")
    if not isinstance(repeats, int):
        return None
    value = call.first()
    if dim is None:
        value, dim = reshape(call.structure, value, [int(np.prod(value.shape))]), 0
    dim = wrapped(dim, len(value.shape))
    return take(call.structure, value, dim, np.repeat(np.arange(value.shape[dim]), repeats))


@rule("unfold")
def sliding(call: Call) -> Outcome:
    """Overlapping windows of a dimension, which get a dimension of their own at the end."""
    value = call.first()
    dim = wrapped(call["dimension"], len(value.shape))
    size, step = call["size"], call["step"]
    taken = take(call.structure, value, dim, windows(value.shape[dim], size, step))
    rank = len(value.shape)
    split = reshape(
        call.structure, taken, [*value.shape[:dim], taken.shape[dim] // size, size, *value.shape[dim + 1 :]]
    )
    return permute(split, [other for other in range(rank + 1) if other != dim + 1] + [dim + 1])


@rule("slice_scatter", "select_scatter")
def overwrite(call: Call) -> Outcome:
    """A part of a dimension replaced by another tensor."""
    value, source = call["self"] if "self" in call.arguments else call["input"], call["src"]
    dim = wrapped(call["dim"], len(value.shape))
    length = value.shape[dim]
    if call.name == "aten.select_scatter":
        source = insert(source, dim)
        replaced = np.array([call["index"] % length])
    else:
        replaced = np.arange(length)[slice(call["start"], call["end"], call["step"])]
    if replaced.size == length:
        return source if (replaced == np.arange(length)).all() else None
    kept = np.setdiff1d(np.arange(length), replaced)
    both = joined(call.structure, [take(call.structure, value, dim, kept), source], dim)
    return take(call.structure, both, dim, np.argsort(np.concatenate([kept, replaced])))


@rule("constant_pad_nd", "pad", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
      "replication_pad2d", "replication_pad3d")  # fmt: skip
def pad(call: Call) -> Outcome:
    """More entries at the ends of the last dimensions: constants, or copies of what is there."""
    value = call.first()
    amounts: Sequence[int] = call.arguments.get("pad") or call["padding"]
    if call.name != "aten.constant_pad_nd" and call.arguments.get("mode") != "constant":
        dims = range(len(value.shape) - len(amounts) // 2, len(value.shape))
        fixed = fix(call.structure, value, dims)
        return Value(call.shape, fixed.bundles, fixed.uniform)
    for number in range(len(amounts) // 2):
        before, after = amounts[2 * number], amounts[2 * number + 1]
        dim = len(value.shape) - 1 - number
        length = value.shape[dim]
        kept = take(call.structure, value, dim, np.arange(max(0, -before), length - max(0, -after)))
        parts = [kept]
        if before > 0:
            parts.insert(0, uniform_value(_with(kept.shape, dim, before)))
        if after > 0:
            parts.append(uniform_value(_with(kept.shape, dim, after)))
        value = joined(call.structure, parts, dim) if len(parts) > 1 else kept
    return value


def _with(shape: tuple[int, ...], dim: int, length: int) -> tuple[int, ...]:
    return (*shape[:dim], length, *shape[dim + 1 :])


@rule("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle")
def shuffle(call: Call) -> Outcome:
    """Channels to places, places to channels, channels among themselves: a view, a permutation, a view."""
    value = call.first()
    *lead, channels, height, width = value.shape
    n = len(lead)
    if "channel_shuffle" in call.name:
        return _shuffled(call, value, [*lead, call["groups"], -1, height, width], [*range(n), n + 1, n, n + 2, n + 3])
    if call.name == "aten.pixel_shuffle":
        r = call["upscale_factor"]
        return _shuffled(
            call, value, [*lead, channels // r**2, r, r, height, width], [*range(n), n, n + 3, n + 1, n + 4, n + 2]
        )
    r = call["downscale_factor"]
    return _shuffled(
        call, value, [*lead, channels, height // r, r, width // r, r], [*range(n), n, n + 2, n + 4, n + 1, n + 3]
    )


def _shuffled(call: Call, value: Value, shape: Sequence[int], order: Sequence[int]) -> Value:
    known = int(np.prod([length for length in shape if length != -1]))
    full = [length if length != -1 else int(np.prod(value.shape)) // known for length in shape]
    split = reshape(call.structure, value, full)
    return reshape(call.structure, permute(split, order), call.shape)


@rule("im2col")
def patches(call: Call) -> Outcome:
    """Patches of a map: every channel once per place of the kernel."""
    value = call.first()
    rank = len(value.shape)
    fixed = fix(call.structure, value, [rank - 2, rank - 1])
    channels = value.shape[-3]
    places, positions = call.shape[-2] // channels, call.shape[-1]
    lead = list(range(rank - 2))
    spread = rename(squeezed_maps(fixed), {dim: dim for dim in lead}, [*value.shape[:-2], 1, 1])
    grid = Value((*value.shape[:-2], places, positions), spread.bundles, spread.uniform - {rank - 2, rank - 1})
    return reshape(call.structure, grid, call.shape)


@rule("col2im")
def folded(call: Call) -> Outcome:
    """Patches summed up to a map."""
    value = call.first()
    *lead, wide, positions = value.shape
    channels = call.shape[-3]
    split = reshape(call.structure, value, [*lead, channels, wide // channels, positions])
    rank = len(split.shape)
    fixed = fix(call.structure, split, [rank - 2, rank - 1])
    return Value(call.shape, fixed.bundles, fixed.uniform - {rank - 2, rank - 1})


@rule("_fft_r2c", "_fft_c2c", "_fft_c2r", "fft_rfft2", "fft_irfft2", "fft_fft", "fft_ifft", "fft_rfft",
      "fft_irfft", "fft_fft2",
      "fft_ifft2", "fft_fftn", "fft_ifftn", "fft_rfftn", "fft_irfftn", "fft_fftshift", "fft_ifftshift")  # fmt: skip
def transformed(call: Call) -> Outcome:
    """Fourier transforms along some dimensions."""
    value = call.first()
    dims = wrapped_all(call.arguments.get("dim"), len(value.shape))
    fixed = fix(call.structure, value, dims)
    return Value(call.shape, fixed.bundles, fixed.uniform - set(dims))


@rule("view_as_real", "view_as_complex")
def parts(call: Call) -> Outcome:
    """Real and imaginary part as a last dimension."""
    value = call.first()
    if call.name == "aten.view_as_real":
        return Value(call.shape, value.bundles, value.uniform)
    rank = len(value.shape)
    fixed = fix(call.structure, value, [rank - 1])
    return Value(call.shape, fixed.bundles, fixed.uniform - {rank - 1})


def squeezed_maps(value: Value) -> Value:
    """Forget the last two dimensions of a value that no longer moves along them."""
    rank = len(value.shape)
    return Value((*value.shape[:-2], 1, 1), value.bundles, value.uniform - {rank - 2, rank - 1})
