"""Making pruned zeros final."""

from torch import Tensor, nn
from torch.nn.utils import parametrize

from permsolve.networks.pruning.mask import NMMask, mask_of, masked, take_mask
from permsolve.networks.surroundings import undisturbed
from permsolve.networks.trace.export import as_module
from permsolve.networks.transaction import Transaction, all_or_nothing, transaction
from permsolve.networks.writing import check_writable, writing


@undisturbed
@all_or_nothing
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
    as_module(model)
    with transaction() as changes:
        names = [
            (prefix, module, attribute)
            for prefix, module in model.named_modules()
            if parametrize.is_parametrized(module)
            for attribute, _ in module.get_submodule("parametrizations").named_children()
            if mask_of(module, attribute) is not None
        ]
        check_writable(
            (f"{prefix}.{attribute}", original)
            for prefix, module, attribute in names
            for original in module.get_submodule(f"parametrizations.{attribute}").parameters(recurse=False)
        )
        for _, module, attribute in names:
            steps = module.get_submodule(f"parametrizations.{attribute}")
            alone = all(isinstance(step, NMMask) for step in steps.children())
            if alone:  # in place: whoever shares the parameter or optimizes it goes on doing so
                mask = mask_of(module, attribute)
                assert mask is not None
                _zero(steps.get_parameter("original"), mask.mask, changes)
            take_mask(module, attribute, changes, leave_parametrized=not alone)
    return tuple(f"{prefix}.{attribute}" if prefix else attribute for prefix, _, attribute in names)


def _zero(weight: Tensor, mask: Tensor, changes: Transaction) -> None:
    """Make a weight zero where a mask drops it; what it was there is kept until all masks are gone."""
    with writing(weight):
        dropped = weight[~mask]

    def back(zeroed: Tensor) -> Tensor:
        restored = zeroed.clone()
        restored[~mask] = dropped
        return restored

    changes.write(weight, lambda old: masked(old, mask), back)
