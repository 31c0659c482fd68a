"""Matrix products and convolutions."""

import numpy as np

from permsolve.networks.rules.call import Call, Outcome, rule
from permsolve.networks.symmetry.combining import contract, fix, merge, normalise, reduce
from permsolve.networks.symmetry.reindexing import expand, insert, permute, reshape, squeeze
from permsolve.networks.symmetry.structure import Structure
from permsolve.networks.symmetry.value import Value, preserve

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def product(structure: Structure, equation: str, *operands: Value) -> Value:
    """A contraction written as for einsum; operands that have length 1 where another is longer broadcast."""
    inputs, result = equation.split("->")
    letters = inputs.split(",")
    sizes: dict[str, int] = {}
    for own, operand in zip(letters, operands, strict=True):
        for letter, length in zip(own, operand.shape, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), length)
    return contract(structure, operands, letters, result, sizes)


def added(structure: Structure, value: Value, *others: Value | None) -> Value:
    """The sum with further tensors, where there are any."""
    present = [other for other in others if other is not None]
    return merge(structure, [value, *present], value.shape) if present else value


@rule("linear")
def linear(call: Call) -> Outcome:
    """``x @ w.T + b``."""
    return apply_linear(call.structure, call["input"], call["weight"], call["bias"])


def apply_linear(structure: Structure, value: Value, weight: Value, bias: Value | None) -> Value:
    """A linear map of the last dimension."""
    lead = _LETTERS[: len(value.shape) - 1]
    equation = f"{lead}i,oi->{lead}o" if len(weight.shape) == 2 else f"{lead}i,i->{lead}"
    return added(structure, product(structure, equation, value, weight), bias)


@rule("matmul", "mm", "bmm", "mv", "dot", "vdot", "inner")
def matmul(call: Call) -> Outcome:
    """Matrix products, batched and broadcast."""
    a, b = call.values()
    return multiplied(call.structure, a, b, inner=call.name == "aten.inner")


def multiplied(structure: Structure, a: Value, b: Value, *, inner: bool = False) -> Value:
    """``a @ b`` by the rules of matmul; ``inner`` sums over the last dimension of both."""
    if inner and len(b.shape) > 1:
        b = permute(b, [*range(len(b.shape) - 2), len(b.shape) - 1, len(b.shape) - 2])
    rank = max(len(a.shape), len(b.shape), 2) - 2
    batch = _LETTERS[:rank]
    left = batch[rank - max(0, len(a.shape) - 2) :] + ("mk" if len(a.shape) > 1 else "k")
    right = batch[rank - max(0, len(b.shape) - 2) :] + ("kn" if len(b.shape) > 1 else "k")
    result = batch + ("m" if len(a.shape) > 1 else "") + ("n" if len(b.shape) > 1 else "")
    return product(structure, f"{left},{right}->{result}", a, b)


@rule("addmm", "baddbmm", "addbmm", "addmv")
def add_product(call: Call) -> Outcome:
    """A product added to a tensor."""
    base, a, b = call.values()
    result = multiplied(call.structure, a, b)
    if call.name == "aten.addbmm":
        result = reduce(call.structure, result, [0], keepdim=False)
    return added(call.structure, result, base)


@rule("cdist", "_euclidean_dist")
def distances(call: Call) -> Outcome:
    """Distances between rows: sums over the last dimension of both."""
    a, b = call.values()
    return multiplied(call.structure, a, permute(b, [*range(len(b.shape) - 2), len(b.shape) - 1, len(b.shape) - 2]))


@rule("cosine_similarity", "pairwise_distance")
def similarity(call: Call) -> Outcome:
    """Sums over a dimension of two tensors."""
    a, b = call.values()
    shape = tuple(np.broadcast_shapes(a.shape, b.shape))
    dim = call.arguments.get("dim", -1) % len(shape)
    keepdim = bool(call.arguments.get("keepdim", False))
    return reduce(call.structure, merge(call.structure, [a, b], shape), [dim], keepdim=keepdim)


@rule("outer", "ger")
def outer(call: Call) -> Outcome:
    """All products of two vectors."""
    return product(call.structure, "i,j->ij", *call.values())


@rule("einsum")
def einsum(call: Call) -> Outcome:
    """A sum of products; a letter twice in one operand is not covered."""
    equation = call["equation"].replace(" ", "")
    operands = call["tensors"]
    inputs, arrow, result = equation.partition("->")
    letters = inputs.split(",")
    if "." in equation:
        unused = [letter for letter in _LETTERS if letter not in equation]
        ranks = [len(o.shape) - len(own.replace("...", "")) for o, own in zip(operands, letters, strict=True)]
        dots = "".join(unused[: max(ranks)])
        letters = [own.replace("...", dots[len(dots) - n :]) for own, n in zip(letters, ranks, strict=True)]
        result = result.replace("...", dots)
    else:
        dots = ""
    if not arrow:
        joined = "".join(letters)
        result = dots + "".join(sorted(c for c in set(joined) - set(dots) if joined.count(c) == 1))
    if any(len(set(own)) != len(own) for own in (*letters, result)):
        return None
    return product(call.structure, f"{','.join(letters)}->{result}", *operands)


@rule("bilinear")
def bilinear(call: Call) -> Outcome:
    """``x1 @ W[o] @ x2 + b``."""
    a, b, weight = call["input1"], call["input2"], call["weight"]
    lead = _LETTERS[: len(a.shape) - 1]
    result = product(call.structure, f"{lead}i,oij,{lead}j->{lead}o", a, weight, b)
    return added(call.structure, result, call["bias"])


@rule("conv1d", "conv2d", "conv3d", "convolution")
def convolution(call: Call) -> Outcome:
    """Convolutions, grouped and depthwise ones too, forward and transposed."""
    transposed = bool(call.arguments.get("transposed", False))
    return _convolved(call, transposed)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed_convolution(call: Call) -> Outcome:
    """The weight is (in, out / groups, k...)."""
    return _convolved(call, True)


def _convolved(call: Call, transposed: bool) -> Value:
    s = call.structure
    value, weight, bias, groups = call["input"], call["weight"], call["bias"], call["groups"]
    # The weight of a grouped convolution may come divided: (groups, out / groups, in / groups, k...).
    divided = call.name[-2:-1].isdigit() and len(weight.shape) == int(call.name[-2]) + 3
    maps = len(weight.shape) - (3 if divided else 2)
    batched = len(value.shape) == maps + 2
    if not batched:
        value = insert(value, 0)
    value = fix(s, value, range(2, maps + 2))
    weight = fix(s, weight, range(len(weight.shape) - maps, len(weight.shape)))
    batch, channels = value.shape[:2]
    first, second = (weight.shape[0] * weight.shape[1], weight.shape[2]) if divided else weight.shape[:2]
    outputs = second * groups if transposed else first
    # One place of the map stands for all: nothing moves along the map or along the kernel.
    x = reshape(s, _flat(value, 2), [batch, groups, channels // groups])
    if transposed:
        w = permute(reshape(s, _flat(weight, 2), [groups, first // groups, second]), [0, 2, 1])
    elif divided:
        w = _flat(weight, 3)
    else:
        w = reshape(s, _flat(weight, 2), [groups, first // groups, second])
    if groups == 1:
        x, w = squeeze(x, [1]), squeeze(w, [0])
        result = product(s, "bi,oi->bo", x, w)
    elif channels == groups:
        grid = [batch, groups, outputs // groups]
        result = reshape(s, merge(s, [x, permute(w, [2, 0, 1])], grid), [batch, outputs])
    else:
        x, w = _held(s, x, 1), _held(s, w, 0)
        result = reshape(s, product(s, "bgi,goi->bgo", x, w), [batch, outputs])
    if bias is not None:
        result = merge(s, [result, bias], result.shape)
    spatial = call.shape[len(call.shape) - maps :]
    full = Value((batch, outputs, *spatial), result.bundles, result.uniform - set(range(2, maps + 2)))
    return full if batched else squeeze(full, [0])


def _flat(value: Value, rank: int) -> Value:
    """The first dimensions of a value that does not move along the others."""
    return Value(value.shape[:rank], value.bundles, frozenset(dim for dim in value.uniform if dim < rank))


def _held(structure: Structure, value: Value, dim: int) -> Value:
    bundles = (preserve(structure, bundle, [dim], value.shape) for bundle in value.bundles)
    return Value(value.shape, tuple(bundle for bundle in bundles if bundle is not None), value.uniform)


@rule(
    "scaled_dot_product_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
)
def attention(call: Call) -> Outcome:
    """``softmax(q @ k.T + mask) @ v``, with queries that may share keys and values."""
    s = call.structure
    query, key, value = call["query"], call["key"], call["value"]
    if call.arguments.get("enable_gqa"):
        key, value = _shared(s, key, query), _shared(s, value, query)
    rank = len(query.shape)
    flip = [*range(rank - 2), rank - 1, rank - 2]
    scores = multiplied(s, query, permute(key, flip))
    mask = call.arguments.get("attn_mask")
    if mask is not None:
        scores = added(s, scores, mask)
    result = multiplied(s, normalise(s, scores, [rank - 1]), value)
    return (
        [result, *[Value(shape) if shape is not None else None for shape in call.shapes[1:]]]
        if len(call.shapes) > 1
        else result
    )


def _shared(structure: Structure, value: Value, query: Value) -> Value:
    """Repeat every head of keys or values over its queries."""
    *lead, heads, length, width = value.shape
    times = query.shape[-3] // heads
    dim = len(lead)
    wide = expand(insert(value, dim + 1), [*lead, heads, times, length, width])
    return reshape(structure, wide, [*lead, heads * times, length, width])


@rule("_weight_norm", "_weight_norm_interface")
def weight_norm(call: Call) -> Outcome:
    """``v * (g / norm(v))``, the norm over all dimensions but one."""
    direction, size = call["v"], call["g"]
    rank = len(direction.shape)
    dim = call["dim"] % rank
    norm = reduce(call.structure, direction, [other for other in range(rank) if other != dim], keepdim=True)
    result = merge(call.structure, [direction, norm, size], direction.shape)
    return [result, norm] if len(call.shapes) > 1 else result
