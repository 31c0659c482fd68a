"""Reductions, scans, sorting, softmax."""

from permsolve.networks.rules.call import Call, Outcome, rule, wrapped, wrapped_all
from permsolve.networks.symmetry.combining import fix, normalise, reduce
from permsolve.networks.symmetry.value import Value


@rule(
    "sum", "mean", "amax", "amin", "prod", "any", "all", "var", "std", "logsumexp", "norm", "linalg_vector_norm",
    "var_mean", "std_mean", "max", "min", "count_nonzero", "nansum", "nanmean", "aminmax", "special_logsumexp",
)  # fmt: skip
def symmetric(call: Call) -> Outcome:
    """Functions of a set of entries."""
    if len(list(call.values())) > 1 or (call.name in ("aten.max", "aten.min") and 1 in call.used):
        return _positional(call)
    value = call.first()
    dims = wrapped_all(call.arguments.get("dim"), len(value.shape))
    reduced = reduce(call.structure, value, dims, keepdim=bool(call.arguments.get("keepdim", False)))
    return [reduced if shape == reduced.shape else None for shape in call.shapes] if len(call.shapes) > 1 else reduced


def _positional(call: Call) -> Outcome:
    """The place of an entry is part of the answer: all slices are treated alike, each in its own order."""
    if len(list(call.values())) > 1:
        return None
    value = call.first()
    dim = call.arguments.get("dim")
    if dim is None:
        return None
    gone = wrapped(dim, len(value.shape))
    fixed = fix(call.structure, value, [gone])
    reduced = reduce(call.structure, fixed, [gone], keepdim=bool(call.arguments.get("keepdim", False)))
    return [reduced] * len(call.shapes) if len(call.shapes) > 1 else reduced


@rule("argmax", "argmin")
def place_of_extreme(call: Call) -> Outcome:
    """An index."""
    return _positional(call)


@rule("median", "mode", "kthvalue", "nanmedian")
def order_statistic(call: Call) -> Outcome:
    """A value and its index."""
    return _positional(call)


@rule("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "sort", "argsort", "topk", "diff")
def ordered(call: Call) -> Outcome:
    """Functions along a dimension to which its order matters."""
    value = call.first()
    dim = wrapped(call.arguments["dim"], len(value.shape)) if value.shape else 0
    fixed = fix(call.structure, value, [dim])
    results = [
        Value(shape, fixed.bundles, fixed.uniform - {dim}) if shape is not None else None for shape in call.shapes
    ]
    return results if len(results) > 1 else results[0]


@rule(
    "softmax",
    "log_softmax",
    "_softmax",
    "_log_softmax",
    "softmin",
    "_safe_softmax",
    "special_softmax",
    "special_log_softmax",
)
def softmax(call: Call) -> Outcome:
    """A distribution along a dimension."""
    value = call.first()
    return normalise(call.structure, value, [wrapped(call["dim"], len(value.shape))])
