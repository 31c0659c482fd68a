"""Elementwise operators: all tensors broadcast to one shape and move alike."""

import numpy as np

from permsolve.networks.rules.call import Call, Outcome, rule, wrapped
from permsolve.networks.symmetry.combining import merge
from permsolve.networks.symmetry.reindexing import expand, rename, take
from permsolve.networks.symmetry.value import Value, uniform_value


@rule(
    "where", "masked_fill", "nan_to_num", "clamp", "isclose", "lerp", "relu6", "hardtanh", "celu", "selu",
    "square", "logit", "threshold", "softplus", "addcmul", "addcdiv", "float_power", "true_divide",
    "not_equal", "greater",
    "logical_not", "special_expit", "hardswish", "mish", "silu", "gelu", "max.other", "min.other",
)  # fmt: skip
def pointwise(call: Call) -> Outcome:
    """Any function applied entry by entry; several results move alike."""
    merged = merge(call.structure, list(call.values()), call.shape)
    return [merged if shape == call.shape else None for shape in call.shapes] if len(call.shapes) > 1 else merged


@rule(
    "to", "_to_copy", "type_as", "contiguous", "detach", "alias", "lift_fresh_copy", "clone", "positive", "conj", "real"
)
def same(call: Call) -> Outcome:
    """The entries as they are, in another type or place in memory; a second tensor only lends its type."""
    return expand(call.first(), call.shape)


@rule("copy")
def copy(call: Call) -> Outcome:
    """What is overwritten does not matter."""
    return expand(call["src"], call.shape)


@rule(
    "dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout", "rrelu",
    "rrelu_with_noise",
)  # fmt: skip
def random_mask(call: Call) -> Outcome:
    """Drawn entry by entry: in training no entry is drawn otherwise than another, but in evaluation each counts."""
    drawn = call.arguments.get("train", call.arguments.get("training", True))
    return pointwise(call) if call.training or drawn is False or call.arguments.get("p") == 0 else None


@rule("bernoulli")
def noise(call: Call) -> Outcome:
    """In training (dropout of whole channels) no channel is drawn otherwise than another."""
    return uniform_value(call.shape) if call.training else None


@rule("fill")
def fill(call: Call) -> Outcome:
    """Every entry becomes the same."""
    return uniform_value(call.shape)


@rule("prelu", "_prelu_kernel")
def prelu(call: Call) -> Outcome:
    """A slope per channel (dimension 1), or one for all."""
    slope: Value = call["weight"]
    value: Value = call.first()
    rank = len(value.shape)
    if call.name == "aten.prelu" and rank > 1 and len(slope.shape) == 1:
        slope = rename(slope, {0: 1}, [1, slope.shape[0], *[1] * (rank - 2)])
    return merge(call.structure, [value, slope], call.shape)


@rule("glu")
def glu(call: Call) -> Outcome:
    """The first half of a dimension, gated by the second."""
    value: Value = call.first()
    dim = wrapped(call["dim"], len(value.shape))
    half = np.arange(value.shape[dim] // 2)
    halves = [take(call.structure, value, dim, half), take(call.structure, value, dim, half + half.size)]
    return merge(call.structure, halves, call.shape)


@rule(
    "zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones",
    "new_full", "new_empty", "scalar_tensor", "empty_strided", "new_empty_strided", "empty_permuted",
)  # fmt: skip
def constant(call: Call) -> Outcome:
    """Tensors whose entries are all the same; a tensor argument only lends its shape."""
    return uniform_value(call.shape)


@rule(
    "rand_like", "randn_like", "randint_like", "rand", "randn", "randint", "arange", "linspace", "eye", "tril_indices",
    "triu_indices", "range", "randperm", "logspace", "hann_window",
)  # fmt: skip
def pattern(call: Call) -> Outcome:
    """Tensors made from nothing but a shape: they stand still, and demand nothing."""
    return Value(call.shape)
