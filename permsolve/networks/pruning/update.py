"""New values for the weights that a mask keeps, so that the outputs of their layer change less."""

from dataclasses import dataclass

import numpy as np
import torch
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
class UpdatedWeight:
    """Values that wait to be written.

    Attributes
    ----------
    source : Tensor
        The parameter.
    mask : Tensor of bool
        Where it is changed.
    values : Tensor
        What it becomes there.
    error : LayerError
        What that brings.
    """

    source: Tensor
    mask: Tensor
    values: Tensor
    error: LayerError

    def write(self) -> None:
        """Change the parameter in place; what the mask drops keeps its value under the mask."""
        with torch.no_grad():
            self.source.copy_(torch.where(self.mask, self.values, self.source))


def updated(weight: PrunableWeight, mask: Tensor, calibration: Calibration | None) -> UpdatedWeight:
    """Fit what a mask keeps of a weight to the outputs of the dense layer on the calibration data.

    Raises
    ------
    InvalidOptionError
        When all second moments of what the layer reads are not there.
    InvalidProblemError
        When they do not fit the weight, or cannot be inverted.
    """
    if calibration is None or weight.name not in calibration:
        why = "" if calibration is None else f" ({calibration.missing.get(weight.name, 'it was left out')})"
        raise InvalidOptionError(
            f"update='obs' needs moments of what {weight.name} reads{why}: give calibration=networks.calibrate(model, "
            "batches), or leave the layer out with exclude="
        )
    moments = calibration[weight.name]
    tensor = weight.tensor.detach()
    known = mask_of(weight.module, WEIGHT)
    source = weight.module.get_parameter(f"parametrizations.{WEIGHT}.original" if known is not None else WEIGHT)
    groups = moments.groups
    dense = as_weight(tensor).astype(np.float64)
    flat, kept = (one.reshape(groups, -1, moments.features) for one in (dense, mask.cpu().numpy()))
    if moments.second_moment is None:
        raise InvalidOptionError(
            f"update='obs' needs all second moments of what {weight.name} reads, and only mean squares are there: "
            "calibrate with moments='full'"
        )
    fitted = np.empty_like(flat)
    for group in range(groups):
        try:
            fitted[group] = fit_masked(flat[group], kept[group], moments.damped(group))
        except InvalidProblemError as error:
            raise InvalidProblemError(f"{weight.name}: {error}") from error
    values = torch.from_numpy(fitted.reshape(dense.shape)).to(source)
    return UpdatedWeight(source, mask, values, layer_error(tensor, mask, values, moments))


def layer_error(dense: Tensor, mask: Tensor, values: Tensor, moments: InputMoments) -> LayerError:
    """By how much the outputs of a layer change under a mask.

    Parameters
    ----------
    dense, mask, values : Tensor, shape of the weight
        The weight as it was, what is kept of it, and what becomes of that.
    moments : InputMoments
        What the layer reads, with all second moments.
    """
    second = moments.second_moment
    if second is None:
        raise InvalidOptionError("only mean squares of the inputs are known: calibrate with moments='full'")
    flat, kept, after = (
        np.asarray(one, np.float64).reshape(moments.groups, -1, moments.features)
        for one in (as_weight(dense), mask.cpu().numpy(), as_weight(values))
    )
    whole, masked, changed = (
        sum(float(output_error(*one).sum()) for one in zip(flat, other, second, strict=True))
        for other in (np.zeros_like(flat), flat * kept, after * kept)
    )
    share = 1.0 / whole if whole > 0.0 else 0.0
    return LayerError(masked * share, changed * share)
