"""Frozen constants: weights that are written, not learned.

A detector turns a distribution over places into a mean by a convolution with the weights 0 to 15; other models blur,
or change colours. Such a table has the class of a layer, takes no gradient, and is ruined by pruning. It is told from
layers that are merely frozen (a backbone, or all of a model that serves) by its size and its values.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

# Largest table whose values are looked at, and largest one that is a constant among trained weights whatever they are.
_LOOKED_AT, _SMALL = 1 << 16, 256
# A table of four times as many entries has no more different values than this.
_VALUES = 16


def constants(frozen: Mapping[str, Tensor], others: int, *, trained: bool) -> frozenset[str]:
    """Names of the constants among frozen weights.

    A frozen weight is one when it is a regular table: equally spaced or whole numbers, or few different values; or has
    less than 256 entries, while other weights are trained. What makes up half of all weights or more is a frozen
    network, and no constant.

    Parameters
    ----------
    frozen : mapping of str to Tensor
        Weights of a model that take no gradient.
    others : int
        Number of entries of all its other weights.
    trained : bool
        Whether any weight takes a gradient.
    """
    known = {name: tensor for name, tensor in frozen.items() if not is_lazy(tensor)}
    found = {
        name: tensor.numel()
        for name, tensor in known.items()
        if (trained and tensor.numel() < _SMALL) or _regular(tensor)
    }
    whole = others + sum(tensor.numel() for tensor in known.values())
    return frozenset(found) if 2 * sum(found.values()) < whole else frozenset()


@torch.no_grad()
def _regular(tensor: Tensor) -> bool:
    """Whether somebody wrote the values: whole numbers, equally spaced ones, or few different ones."""
    plain = tensor.layout == torch.strided and tensor.is_floating_point() and not tensor.is_meta
    if type(tensor) not in (Tensor, torch.nn.Parameter) or not plain or not 4 <= tensor.numel() <= _LOOKED_AT:
        return False
    values = tensor.detach().double().flatten().cpu()
    if not bool(values.isfinite().all()):
        return False
    different = values.unique()
    few = len(different) <= 2 or len(different) <= _VALUES <= len(values) / 4
    if few or bool((values == values.round()).all()):
        return True
    steps = different.diff()
    return len(different) >= 4 and bool((steps - steps[0]).abs().max() <= 1e-3 * steps[0])
