"""New values for the weights that a mask keeps, so that the outputs of their layer change less."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from permsolve.errors import InvalidOptionError, InvalidProblemError
from permsolve.moments import InputMoments
from permsolve.networks.calibration import Calibration
from permsolve.networks.prunable import WEIGHT, PrunableWeight
from permsolve.networks.pruning.mask import mask_of
from permsolve.reconstruction import fit_masked, output_error
from permsolve.weights import as_weight


@dataclass(frozen=True, slots=True)
class LayerError:
    """Mean square by which the outputs of one layer differ from the dense layer's, as a share of theirs.

    Attributes
    ----------
    masked : float
        With the weights that are kept as they were.
    updated : float
        With their new values, as they are stored.
    """

    masked: float
    updated: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What becomes of the weights that a mask keeps, before it is written.

    Attributes
    ----------
    values : Tensor or None
        Their new values, shape of the weight; None where they stay.
    error : LayerError or None
        What that brings; None where all second moments of the inputs are not known.
    """

    values: Tensor | None
    error: LayerError | None

    def write(self, weight: PrunableWeight, mask: Tensor) -> None:
        """Change the parameter in place; what the mask drops keeps its value under the mask."""
        if self.values is not None:
            masked = mask_of(weight.module, WEIGHT) is not None
            source = weight.module.get_parameter(f"parametrizations.{WEIGHT}.original" if masked else WEIGHT)
            with torch.no_grad():
                source.copy_(torch.where(mask, self.values, source))


def fit(weight: PrunableWeight, mask: Tensor, calibration: Calibration | None, update: str | None) -> Fit:
    """Fit what a mask keeps of a weight to the outputs of the dense layer on the calibration data.

    Parameters
    ----------
    weight : PrunableWeight
        The weight, still dense.
    mask : Tensor of bool, shape of the weight
        What is kept.
    calibration : Calibration or None
        What the layer reads.
    update : {None, "obs"}
        None leaves the values, and tells the error only.

    Raises
    ------
    InvalidOptionError
        When values are to be fitted, and all second moments of what the layer reads are not there.
    InvalidProblemError
        When they cannot be inverted.
    """
    moments = None if calibration is None else calibration.get(weight.name)
    if update is not None:
        _check(weight, calibration)
    if moments is None or moments.second_moment is None:
        return Fit(None, None)
    tensor = weight.tensor.detach()
    flat = (moments.groups, -1, moments.features)
    dense = as_weight(tensor).astype(np.float64).reshape(flat)
    kept = mask.cpu().numpy().reshape(flat)
    if update is None:
        return Fit(None, _error(dense, kept, dense, moments))
    fitted = np.empty_like(dense)
    for group in range(moments.groups):
        try:
            fitted[group] = fit_masked(dense[group], kept[group], moments.damped(group))
        except InvalidProblemError as error:
            raise InvalidProblemError(f"{weight.name}: {error}") from error
    values = torch.from_numpy(fitted.reshape(tensor.shape)).to(tensor)
    stored = as_weight(values).astype(np.float64).reshape(dense.shape)
    return Fit(values, _error(dense, kept, stored, moments))


def _check(weight: PrunableWeight, calibration: Calibration | None) -> None:
    """Refuse an update without all second moments of what the layer reads."""
    if calibration is None or weight.name not in calibration:
        why = "" if calibration is None else f" ({calibration.missing.get(weight.name, 'it was left out')})"
        raise InvalidOptionError(
            f"update='obs' needs moments of what {weight.name} reads{why}: give calibration=networks.calibrate(model, "
            "batches), or leave the layer out with exclude="
        )
    if calibration[weight.name].second_moment is None:
        raise InvalidOptionError(
            f"update='obs' needs all second moments of what {weight.name} reads, and only mean squares are there: "
            "calibrate with moments='full'"
        )


def _error(
    dense: NDArray[np.float64], kept: NDArray[np.bool_], values: NDArray[np.float64], moments: InputMoments
) -> LayerError:
    """Errors of flat weights (groups, outputs, d)."""
    second = moments.second_moment
    assert second is not None
    whole, masked, changed = (
        sum(float(output_error(*one).sum()) for one in zip(dense, other, second, strict=True))
        for other in (np.zeros_like(dense), dense * kept, values * kept)
    )
    share = 1.0 / whole if whole > 0.0 else 0.0
    return LayerError(masked * share, changed * share)
