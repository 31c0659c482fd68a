"""Scores of a weight under a saliency, block by block."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import InvalidOptionError, InvalidProblemError
from permsolve.moments import InputMoments
from permsolve.saliency import Saliency
from permsolve.weights import as_array, as_matrix, as_weight, flat_blocks, row_blocks


def score_blocks(
    weight: NDArray[Any], saliency: Saliency, inputs: InputMoments | None = None
) -> Iterator[NDArray[Any]]:
    """Scores of a weight read as a matrix (out * k..., in), in blocks of rows.

    Parameters
    ----------
    weight : ndarray, shape (out, in / groups) or (out, in / groups, k...)
        The weight.
    saliency : Saliency
        What each weight is worth. A calibrated one scores the flat weight (out, d) of each group of the convolution;
        the scores are then read as a matrix like the weight itself.
    inputs : InputMoments, optional
        What the layer reads; a saliency that is not calibrated does not look at it.

    Raises
    ------
    InvalidOptionError
        When a calibrated saliency lacks the moments that it needs.
    InvalidProblemError
        When they do not fit the weight, or the saliency returns another shape.
    """
    if saliency.needs is not None:
        yield from _calibrated(weight, saliency, _checked(weight, saliency, inputs))
    elif saliency.elementwise:
        for block in row_blocks(weight):
            yield _scores(saliency.function(block), block.shape)
    else:
        matrix = as_matrix(weight)
        yield from row_blocks(_scores(saliency.function(matrix), matrix.shape))


def _calibrated(weight: NDArray[Any], saliency: Saliency, inputs: InputMoments) -> Iterator[NDArray[Any]]:
    each = weight.shape[0] // inputs.groups
    for number in range(inputs.groups):
        group, moments = weight[number * each : (number + 1) * each], inputs.group(number)
        for block in flat_blocks(group) if saliency.elementwise else [np.concatenate(list(flat_blocks(group)))]:
            scores = _scores(saliency.function(block, moments), block.shape)
            yield from row_blocks(scores.reshape(-1, *weight.shape[1:]))


def _checked(weight: NDArray[Any], saliency: Saliency, inputs: InputMoments | None) -> InputMoments:
    if inputs is None:
        raise InvalidOptionError(
            f"saliency {saliency.name!r} needs moments of the layer's inputs: give inputs= "
            "(permsolve.moments.InputMoments), calibration= for a network (permsolve.networks.calibrate), or --inputs "
            "on the command line"
        )
    if saliency.needs == "second_moment" and not inputs.full:
        raise InvalidOptionError(
            f"saliency {saliency.name!r} needs all second moments of the layer's inputs, and only their mean squares "
            "are known: calibrate with moments='full', or give a square matrix"
        )
    features = int(np.prod(weight.shape[1:]))
    if inputs.features != features or weight.shape[0] % inputs.groups:
        raise InvalidProblemError(
            f"moments of {inputs.groups} x {inputs.features} inputs do not fit a weight of shape {weight.shape}, whose "
            f"rows read {features}"
        )
    return inputs


def _scores(scores: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    array = as_array(scores)
    if array.shape != shape:
        raise InvalidProblemError(f"the saliency function returned shape {array.shape} for a matrix {shape}")
    return as_weight(array)
