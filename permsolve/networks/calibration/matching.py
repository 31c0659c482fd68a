"""Whether a calibration is of the weights that it is used for, and what stands in where it knows nothing of them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from permsolve.errors import InvalidOptionError
from permsolve.moments import InputMoments
from permsolve.networks.calibration.calibration import Calibration
from permsolve.networks.prunable import PrunableWeight

# Norms of the columns of a weight that has changed a little, or was cast, or masked, correlate by 0.8 or more with what
# they were (a mask of 2:4 by magnitude: 0.97); those of another weight, or in another order, by 0 plus or minus
# 1 / sqrt(columns).
_CORRELATION = 0.5
_FEWEST = 16
# Spread of the norms, as a share of what columns of random numbers have, below which rounding is all that tells them
# apart.
_SPREAD = 0.1

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_by(weight: PrunableWeight) -> tuple[int, int]:
    """Groups of a layer, and features that one of them reads."""
    return weight.groups, weight.tensor[0].numel()


def column_norms(weight: PrunableWeight) -> NDArray[np.float64] | None:
    """Norms of the columns of a weight, shape (groups, features); None where it has no values that can be read.

    They tell weights apart, and the orders of their columns, but neither the order of their rows nor their type.
    """
    groups, features = read_by(weight)
    tensor = weight.tensor.detach()
    if tensor.is_meta or tensor.layout != torch.strided or tensor.dtype not in _FLOATS or not tensor.numel():
        return None
    flat = tensor.reshape(groups, -1, features)
    accurate = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    norms = torch.linalg.vector_norm(flat, dim=1, dtype=accurate).double().cpu()
    found: NDArray[np.float64] = norms.numpy()
    return found if np.isfinite(found).all() else None


def matched(calibration: Calibration, weights: Sequence[PrunableWeight], need: str | None, full: bool) -> Calibration:
    """A calibration that has moments of all of some weights, and is of them.

    A weight that no batch has reached (``calibration.missing``) gets inputs that are all alike, as large as those of
    other layers of its width: whatever looks at them goes by the magnitude of weights then, and leaves values as they
    are. Its name is in ``assumed`` of what is returned, with the reason.

    Parameters
    ----------
    calibration : Calibration
        What the user gave.
    weights : sequence of PrunableWeight
        All weights that it will be used for.
    need : str or None
        What needs moments of all weights, for messages; None when nothing does.
    full : bool
        Whether all second moments are needed.

    Raises
    ------
    InvalidOptionError
        When it is of another model or other layers, or lacks what is needed, with the name of the first weight.
    """
    known = [weight for weight in weights if weight.name in calibration]
    for weight in known:
        _check(calibration, weight)
    others = [weight for weight in weights if weight.name not in calibration]
    left_out = [weight for weight in others if weight.name not in calibration.missing]
    refused = left_out if need is not None or not known else []
    if need is not None and not known:
        refused = left_out + others
    if refused:
        why = calibration.missing.get(refused[0].name, "it was left out, or this is the calibration of another model")
        raise InvalidOptionError(
            f"{need or 'calibration='} needs moments of what {refused[0].name} reads, and the calibration has none "
            f"({why}): leave the layer out with exclude=, or calibrate anew"
        )
    if need is None:
        return calibration
    for weight in known:
        if full and not calibration[weight.name].full:
            raise InvalidOptionError(
                f"{need} needs all second moments of what {weight.name} reads, and only mean squares are there: "
                "calibrate with moments='full'"
            )
    return completed(calibration, known, others)


def completed(
    calibration: Calibration, known: Sequence[PrunableWeight], others: Sequence[PrunableWeight]
) -> Calibration:
    """A calibration of some weights with moments that are assumed for others; see :func:`matched`."""
    sizes: dict[int | None, list[float]] = {}
    for weight in known:
        moments = calibration[weight.name]
        for width in (moments.features, None):
            sizes.setdefault(width, []).append(float(moments.mean_square.mean()))
    made: dict[tuple[int, int], InputMoments] = {}
    for shape in dict.fromkeys(map(read_by, others)):
        size = float(np.mean(sizes.get(shape[1], sizes[None])))
        made[shape] = InputMoments.uniform(*shape, size or 1.0)
    return calibration.assuming({weight.name: made[read_by(weight)] for weight in others}) if others else calibration


def _check(calibration: Calibration, weight: PrunableWeight) -> None:
    """Refuse moments that are of another weight."""
    moments, shape = calibration[weight.name], read_by(weight)
    if (moments.groups, moments.features) != shape:
        raise InvalidOptionError(
            f"the calibration is of another model: {weight.name} reads {_inputs(*shape)}, and its moments are of "
            f"{_inputs(moments.groups, moments.features)}: calibrate this model"
        )
    before, now = calibration.columns.get(weight.name), column_norms(weight)
    if before is None or now is None or not _other(before, now, weight.tensor.shape[0] // shape[0]):
        return
    if np.allclose(np.sort(before, axis=None), np.sort(now, axis=None), rtol=1e-2):
        raise InvalidOptionError(
            f"the columns of {weight.name} are in another order than when it was calibrated: give "
            "calibration.permuted(report), with the report of the permutation, or calibrate anew"
        )
    raise InvalidOptionError(
        f"the calibration is of another model: {weight.name} has other values than when it was calibrated: calibrate "
        "this model"
    )


def _other(before: NDArray[np.float64], now: NDArray[np.float64], rows: int) -> bool:
    """Whether norms of columns have nothing to do with one another."""
    if before.size < _FEWEST:
        return False
    for norms in (before, now):
        if norms.std() * np.sqrt(2.0 * rows) <= _SPREAD * norms.mean():
            return False
    return bool(np.corrcoef(before.ravel(), now.ravel())[0, 1] < _CORRELATION)


def _inputs(groups: int, features: int) -> str:
    return f"{features} inputs" if groups == 1 else f"{groups} groups of {features} inputs"
