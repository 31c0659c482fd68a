"""The mask of one weight, as a parametrization."""

from torch import Tensor, nn
from torch.nn.utils import parametrize

from permsolve.pattern import Pattern


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
