"""Pooling, resizing and sampling of maps: channels pass, places stay."""

from permsolve.networks.rules.call import Call, Outcome, rule
from permsolve.networks.symmetry.combining import fix
from permsolve.networks.symmetry.value import Value, pin


def _dimensions(name: str) -> int:
    return next(int(digit) for digit in name.removeprefix("aten.") if digit.isdigit())


@rule(
    *[f"{kind}_pool{d}d" for kind in ("avg", "max", "adaptive_avg", "adaptive_max", "lp") for d in (1, 2, 3)],
    *[f"_adaptive_avg_pool{d}d" for d in (2, 3)],
    *[f"max_pool{d}d_with_indices" for d in (1, 2, 3)],
    *[f"fractional_max_pool{d}d" for d in (2, 3)],
    *[f"upsample_{kind}{d}d" for kind in ("nearest", "linear", "bilinear", "bicubic", "trilinear") for d in (1, 2, 3)],
    *[f"_upsample_nearest_exact{d}d" for d in (1, 2, 3)],
    *[f"_upsample_{kind}2d_aa" for kind in ("bilinear", "bicubic")],
)  # fmt: skip
def resized(call: Call) -> Outcome:
    """A function of each map that treats all maps alike."""
    value = call.first()
    rank = len(value.shape)
    fixed = fix(call.structure, value, range(rank - _dimensions(call.name), rank))
    results = [Value(shape, fixed.bundles, fixed.uniform) if shape is not None else None for shape in call.shapes]
    return results if len(results) > 1 else results[0]


@rule("grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "grid_sample")
def sampled(call: Call) -> Outcome:
    """Maps read at the places that a grid names, the same for all channels."""
    value, grid = list(call.values())
    pin(call.structure, grid)
    fixed = fix(call.structure, value, [dim for dim in range(len(value.shape)) if dim != 1])
    return Value(call.shape, fixed.bundles, frozenset())
