"""The mask of one weight, as a parametrization."""

from torch import Tensor, nn
from torch.nn.utils import parametrize

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
        return weight * self.mask

    def tighten(self, mask: Tensor, pattern: Pattern) -> None:
        """Prune more: keep only what both masks keep."""
        self.mask.logical_and_(mask)
        self.pattern = pattern

    def extra_repr(self) -> str:
        """The pattern, for printing."""
        return str(self.pattern)


def mask_of(module: nn.Module, attribute: str) -> NMMask | None:
    """The mask that a parameter of a module is under, None when there is none."""
    if not parametrize.is_parametrized(module, attribute):
        return None
    steps = module.get_submodule(f"parametrizations.{attribute}").children()
    return next((step for step in steps if isinstance(step, NMMask)), None)


def put_mask(module: nn.Module, attribute: str, step: NMMask) -> None:
    """Put a parameter of a module under a mask."""
    names = list(module._parameters)
    followers = tuple(names[names.index(attribute) + 1 :]) if attribute in names else ()
    parametrize.register_parametrization(module, attribute, step)
    module.get_submodule(f"parametrizations.{attribute}").__dict__.setdefault(_FOLLOWERS, followers)


def take_mask(module: nn.Module, attribute: str, *, leave_parametrized: bool) -> None:
    """Take a mask, and what else the parameter is under, away; see :func:`remove_parametrizations` of torch.

    The parameter stands where it stood among those of its module: the state of an optimizer goes by their order, and
    torch would put it last. Copies of the module keep theirs: torch lets them share the class that it takes apart.
    """
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
    followers = module.get_submodule(f"parametrizations.{attribute}").__dict__.get(_FOLLOWERS, ())
    parametrize.remove_parametrizations(module, attribute, leave_parametrized=leave_parametrized)
    for name in followers:
        if name in module._parameters:
            module._parameters[name] = module._parameters.pop(name)
