"""Making pruned zeros final."""

import torch
from torch import nn
from torch.nn.utils import parametrize

from permsolve.networks.pruning.mask import NMMask, mask_of, take_mask
from permsolve.networks.trace.export import as_module


def finalize_(model: nn.Module) -> tuple[str, ...]:
    """Write the zeros of all masks of :func:`prune_` into the weights, in place, and take the masks away.

    The model computes what it did, and its parameters have the names, are the objects and stand in the order that they
    were before :func:`prune_`, so that the state of an optimizer still fits. Where a weight is under another
    parametrization as well (``weight_norm``), that is made final, too, and the weight becomes a new parameter.

    Returns
    -------
    tuple of str
        Names of the weights that were finalized; empty when the model has no mask.

    Raises
    ------
    InvalidNetworkError
        When the model is no module.
    """
    masked = [
        (prefix, module, attribute)
        for prefix, module in as_module(model).named_modules()
        if parametrize.is_parametrized(module)
        for attribute, _ in module.get_submodule("parametrizations").named_children()
        if mask_of(module, attribute) is not None
    ]
    for _, module, attribute in masked:
        steps = module.get_submodule(f"parametrizations.{attribute}")
        alone = all(isinstance(step, NMMask) for step in steps.children())
        if alone:
            mask = mask_of(module, attribute)
            assert mask is not None
            with torch.no_grad():  # in place: whoever shares the parameter or optimizes it goes on doing so
                steps.get_parameter("original").masked_fill_(~mask.mask, 0.0)
        take_mask(module, attribute, leave_parametrized=not alone)
    return tuple(f"{prefix}.{attribute}" if prefix else attribute for prefix, _, attribute in masked)
