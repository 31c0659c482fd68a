"""New values for the weights that a mask keeps, so that the outputs of their layer change less."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from permsolve.errors import InvalidProblemError
from permsolve.moments import InputMoments
from permsolve.networks.calibration import Calibration
from permsolve.networks.calibration.paired import PairedMoments
from permsolve.networks.prunable import PrunableWeight
from permsolve.networks.transaction import Transaction
from permsolve.pattern import Pattern
from permsolve.reconstruction import affordable, exchange, fit_bounded, output_error, pattern_groups
from permsolve.weights import as_weight

UPDATES = (None, "obs", "exchange")


@dataclass(frozen=True, slots=True)
class LayerError:
    """Mean square by which the outputs of one layer differ from the dense layer's, as a share of theirs.

    On what the layer reads in the dense network; with layers pruned in order, on what it reads in the pruned one, from
    the outputs that it had in the dense one.

    Attributes
    ----------
    masked : float
        With the weights that the saliency keeps, as they were.
    updated : float
        With those that are kept in the end and their new values, as they are stored.
    """

    masked: float
    updated: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What becomes of the weights that a mask keeps, before it is written.

    Attributes
    ----------
    mask : Tensor of bool, shape (out, in, kernel...)
        What is kept: the mask that was asked for, or a better one.
    values : Tensor or None
        Their new values, of the same shape; None where they stay.
    error : LayerError or None
        What that brings; None where all second moments of the inputs are not known.
    """

    mask: Tensor
    values: Tensor | None
    error: LayerError | None

    def write(self, weight: PrunableWeight, changes: Transaction) -> None:
        """Change the parameter in place; what the mask drops keeps its value under the mask."""
        if self.values is not None:
            (source,) = weight.sources()
            mask, values = weight.as_stored(self.mask), weight.as_stored(self.values)
            changes.write(source, lambda old: torch.where(mask, values, old))


def fit(
    weight: PrunableWeight,
    mask: Tensor,
    pattern: Pattern,
    calibration: Calibration | None,
    update: str | None,
    allowed: Tensor | None = None,
    paired: PairedMoments | None = None,
) -> Fit:
    """Fit what a mask keeps of a weight to the outputs of the dense layer on the calibration data.

    Parameters
    ----------
    weight : PrunableWeight
        The weight, still dense.
    mask : Tensor of bool, shape of the weight
        What is kept.
    pattern : Pattern
        What the mask follows.
    calibration : Calibration or None
        What the layer reads: all second moments, where values are to be fitted (:meth:`Worth.checked`). A layer whose
        inputs are assumed keeps its values, and nothing is known of its error.
    update : one of UPDATES
        See :func:`permsolve.networks.prune_`; None tells the error only.
    allowed : Tensor of bool, shape of the weight, optional
        What a better mask may keep, default everything.
    paired : PairedMoments, optional
        What the layer reads in the network as it is, with the outputs that it had in the network as it was: these are
        fitted to then, and the error is that from them.

    Raises
    ------
    InvalidProblemError
        When they cannot be inverted.
    """
    moments = None if calibration is None else calibration.get(weight.name)
    if calibration is None or moments is None or not moments.full or weight.name in calibration.assumed:
        return Fit(mask, None, None)
    tensor = weight.tensor.detach()
    flat = (moments.groups, -1, moments.features)
    dense = as_weight(tensor).astype(np.float64).reshape(flat)
    kept = mask.cpu().numpy().reshape(flat)
    masked = dense * kept
    if update is None:
        return Fit(mask, None, _error(dense, masked, masked, moments))
    goal = dense if paired is None else paired.goal(dense)
    free = None if allowed is None else allowed.cpu().numpy().reshape(flat)
    groups = pattern_groups(tuple(tensor.shape), pattern)
    better, fitted = kept.copy(), np.empty_like(dense)
    limit = torch.finfo(tensor.dtype).max
    for group in range(moments.groups):
        damped = moments.damped(group)
        try:
            if update == "exchange" and affordable(kept[group]):
                one = None if free is None else free[group]
                live = moments.mean_square[group] > 0.0  # weights of all others are worth nothing
                better[group] = exchange(goal[group] * live, kept[group], damped, groups, one)
            fitted[group] = fit_bounded(goal[group], better[group], damped, limit)
        except InvalidProblemError as error:
            raise InvalidProblemError(f"{weight.name}: {error}") from error
    values = torch.from_numpy(fitted.reshape(tensor.shape)).to(tensor)
    stored = as_weight(values).astype(np.float64).reshape(dense.shape)
    chosen = torch.from_numpy(better.reshape(tensor.shape)).to(mask.device)
    if paired is None:
        return Fit(chosen, values, _error(dense, masked, stored * better, moments))
    share = 1.0 / paired.energy if paired.energy > 0.0 else 0.0
    return Fit(chosen, values, LayerError(paired.error(masked) * share, paired.error(stored * better) * share))


def _error(
    dense: NDArray[np.float64], masked: NDArray[np.float64], changed: NDArray[np.float64], moments: InputMoments
) -> LayerError:
    """Errors of flat weights (groups, outputs, d)."""
    whole = before = after = 0.0
    for group, rows in enumerate(dense):
        second = moments.second_moment_of(group)
        whole += float(output_error(rows, np.zeros_like(rows), second).sum())
        before += float(output_error(rows, masked[group], second).sum())
        after += float(output_error(rows, changed[group], second).sum())
    share = 1.0 / whole if whole > 0.0 else 0.0
    return LayerError(before * share, after * share)
