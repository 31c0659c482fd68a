"""The mask of one weight, as a parametrization."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from permsolve.networks.transaction import Transaction
from permsolve.networks.writing import is_float8, writing
from permsolve.pattern import Pattern

# Where the parametrization of a parameter remembers which parameters of its module came after it.
_FOLLOWERS = "_permsolve_followers"


class NMMask(nn.Module):
    """Multiplies a weight by a mask, in every use of it, so that what is pruned stays zero and gets no gradient.

    Parameters
    ----------
    mask : Tensor of bool, shape of the weight
        What is kept; a persistent buffer, so that checkpoints hold it.
    pattern : Pattern
        What it was made for.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, pattern: Pattern) -> None:
        super().__init__()
        self.pattern = pattern
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight, zero where it is pruned."""
        if is_float8(weight):  # torch does not multiply these
            return masked(weight, self.mask)
        return weight * self.mask

    def tighten(self, mask: Tensor, pattern: Pattern, changes: Transaction) -> None:
        """Prune more: keep only what both masks keep."""
        changes.write(self.mask, lambda known: known & mask)
        self.pattern = pattern

    def extra_repr(self) -> str:
        """The pattern, for printing."""
        return str(self.pattern)


def masked(weight: Tensor, mask: Tensor) -> Tensor:
    """A weight, zero where a mask drops it."""
    return torch.where(mask, weight, torch.zeros((), dtype=weight.dtype, device=weight.device))


def mask_of(module: nn.Module, attribute: str) -> NMMask | None:
    """The mask that a parameter of a module is under, None when there is none."""
    if not parametrize.is_parametrized(module, attribute):
        return None
    steps = module.get_submodule(f"parametrizations.{attribute}").children()
    return next((step for step in steps if isinstance(step, NMMask)), None)


def put_mask(module: nn.Module, attribute: str, step: NMMask) -> None:
    """Put a parameter of a module, which a transaction keeps, under a mask."""
    names = list(module._parameters)
    followers = tuple(names[names.index(attribute) + 1 :]) if attribute in names else ()
    if parametrize.is_parametrized(module):
        _own_class(module)
    with writing(getattr(module, attribute)):
        parametrize.register_parametrization(module, attribute, step)
    module.get_submodule(f"parametrizations.{attribute}").__dict__.setdefault(_FOLLOWERS, followers)


def take_mask(module: nn.Module, attribute: str, changes: Transaction, *, leave_parametrized: bool) -> None:
    """Take a mask, and what else the parameter is under, away; see :func:`remove_parametrizations` of torch.

    The parameter stands where it stood among those of its module: the state of an optimizer goes by their order, and
    torch would put it last.
    """
    _own_class(module)
    steps = module.get_submodule(f"parametrizations.{attribute}")
    originals = list(steps.parameters(recurse=False))
    if leave_parametrized:
        for original in originals:
            changes.keep_memory(original)
    with torch.inference_mode(originals[0].is_inference()):
        parametrize.remove_parametrizations(module, attribute, leave_parametrized=leave_parametrized)
        value = module._buffers.pop(attribute, None)
        if value is not None:  # torch makes what is computed of frozen parameters a buffer
            module.register_parameter(attribute, nn.Parameter(value, requires_grad=False))
    for name in steps.__dict__.get(_FOLLOWERS, ()):
        if name in module._parameters:
            module._parameters[name] = module._parameters.pop(name)


def _own_class(module: nn.Module) -> None:
    """Give a parametrized module a class of its own: torch lets copies of it share the one that it changes."""
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
