"""Normalisation layers."""

from collections.abc import Sequence

from permsolve.networks.rules.call import Call, Outcome, rule
from permsolve.networks.symmetry.combining import merge, normalise, reduce
from permsolve.networks.symmetry.reindexing import rename, reshape
from permsolve.networks.symmetry.structure import Structure
from permsolve.networks.symmetry.value import Value, preserve


def scaled(structure: Structure, value: Value, channels: Sequence[Value | None]) -> Value:
    """Elementwise with vectors that belong to dimension 1."""
    rank = len(value.shape)
    rows = [rename(one, {0: 1}, [1, one.shape[0], *[1] * (rank - 2)]) for one in channels if one is not None]
    return merge(structure, [value, *rows], value.shape)


def _statistics(structure: Structure, value: Value) -> Value:
    """Mean or variance per channel, over everything but dimension 1."""
    others = [dim for dim in range(len(value.shape)) if dim != 1]
    return reduce(structure, value, others, keepdim=False)


@rule(
    "batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit_functional",
    "_native_batch_norm_legit", "native_batch_norm", "cudnn_batch_norm", "_batch_norm_no_update",
    "_batch_norm_with_update_functional",
)  # fmt: skip
def batch_norm(call: Call) -> Outcome:
    """Per channel, with running statistics that follow the channels."""
    s, value = call.structure, call.first()
    names = ("weight", "bias", "running_mean", "running_var")
    vectors = [call.arguments.get(name) for name in names]
    training = "no_training" not in call.name and "no_update" not in call.name
    if training or vectors[2] is None:
        value = normalise(s, value, [dim for dim in range(len(value.shape)) if dim != 1])
    result = scaled(s, value, vectors)
    if len(call.shapes) == 1:
        return result
    # Saved and updated statistics: one number per channel each.
    statistics = _statistics(s, result)
    return [result, *[statistics if shape == statistics.shape else _empty(shape) for shape in call.shapes[1:]]]


def _empty(shape: tuple[int, ...] | None) -> Value | None:
    return None if shape is None else Value(shape)


@rule("instance_norm")
def instance_norm(call: Call) -> Outcome:
    """Per channel and sample."""
    s, value = call.structure, call.first()
    value = normalise(s, value, range(2, len(value.shape)))
    return scaled(s, value, [call[name] for name in ("weight", "bias", "running_mean", "running_var")])


@rule("layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm")
def layer_norm(call: Call) -> Outcome:
    """Over the last dimensions, with a weight of their shape."""
    s, value = call.structure, call.first()
    rank = len(value.shape)
    last = range(rank - len(call["normalized_shape"]), rank)
    result = normalise(s, value, last)
    affine = [one for one in (call.arguments.get("weight"), call.arguments.get("bias")) if one is not None]
    result = merge(s, [result, *affine], value.shape)
    if len(call.shapes) == 1:
        return result
    statistics = reduce(s, value, last, keepdim=True)
    return [result, *[statistics if shape == statistics.shape else _empty(shape) for shape in call.shapes[1:]]]


@rule("group_norm", "native_group_norm")
def group_norm(call: Call) -> Outcome:
    """Per sample and group of channels: channels move inside their group."""
    s, value = call.structure, call.first()
    groups = call["num_groups"] if "num_groups" in call.arguments else call["group"]
    batch, channels, *maps = value.shape
    if groups == channels:
        result = scaled(
            s,
            normalise(s, value, range(2, len(value.shape))),
            [call.arguments.get("weight"), call.arguments.get("bias")],
        )
        return result if len(call.shapes) == 1 else [result, *[_empty(shape) for shape in call.shapes[1:]]]
    split = reshape(s, value, [batch, groups, channels // groups, *maps])
    kept = (preserve(s, bundle, [1], split.shape) for bundle in split.bundles)
    held = Value(split.shape, tuple(bundle for bundle in kept if bundle is not None), split.uniform)
    normal = normalise(s, held, range(2, len(split.shape)))
    result = scaled(s, reshape(s, normal, value.shape), [call.arguments.get("weight"), call.arguments.get("bias")])
    if len(call.shapes) == 1:
        return result
    return [result, *[_empty(shape) for shape in call.shapes[1:]]]
