"""All matrices among the parameters of a model, so that none is left out in silence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from permsolve.networks.layers import Unpruned, weights_of
from permsolve.networks.prunable import PrunableWeight, all_weights, constant_weights
from permsolve.networks.pruning.holders import Holder, holders

FROZEN = "a frozen constant: it takes no gradient, and counts only where include= names it"
_ADDED = Unpruned("a bias: nothing is multiplied by it", multiplied=False)


@dataclass(frozen=True, slots=True)
class Other:
    """A parameter with two or more axes that is no prunable weight.

    Attributes
    ----------
    entries : int
        Number of its entries.
    reason : str
        Why it is none.
    multiplied : bool
        Whether inputs are multiplied by it, as far as is known.
    """

    entries: int
    reason: str
    multiplied: bool


@dataclass(frozen=True, slots=True)
class Matrices:
    """The parameters of a model, told apart.

    Attributes
    ----------
    entries : int
        Number of entries of all parameters, vectors included.
    weights : tuple of PrunableWeight
        Weights of registered kinds of layers, frozen constants included.
    frozen : frozenset of str
        Names of the frozen constants among them.
    others : dict of str to Other
        All other parameters with two or more axes.
    """

    entries: int
    weights: tuple[PrunableWeight, ...]
    frozen: frozenset[str]
    others: Mapping[str, Other]

    @classmethod
    def of(cls, model: nn.Module) -> "Matrices":
        """Those of a model."""
        weights = all_weights(model)
        known = {id(source) for weight in weights for source in weight.sources()}
        found: dict[str, Other] = {}
        for parameter, holder in holders(model):
            if id(parameter) not in known and not is_lazy(parameter) and _is_matrix(parameter):
                known.add(id(parameter))
                why = _reason(holder)
                found[holder.name] = Other(parameter.numel(), why.reason, why.multiplied)
        return cls(_entries(model.parameters()), weights, constant_weights(weights), found)

    @property
    def multiplied(self) -> int:
        """Number of entries of all that inputs are multiplied by."""
        whole = sum(_entries(weight.sources()[:1]) for weight in self.weights)
        return whole + sum(other.entries for other in self.others.values() if other.multiplied)

    def left_out(self, taken: Mapping[str, object], reasons: Mapping[str, str]) -> dict[str, str]:
        """Matrix -> why it is not among those that were taken."""
        found = {
            weight.name: reasons.get(
                weight.name, FROZEN if weight.name in self.frozen else "left out by include= or exclude="
            )
            for weight in self.weights
            if weight.name not in taken
        }
        return found | {name: other.reason for name, other in self.others.items()}


def _entries(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors if not is_lazy(tensor))


def _is_matrix(tensor: Tensor) -> bool:
    return sum(length > 1 for length in tensor.shape) >= 2


def _reason(holder: Holder) -> Unpruned:
    known = weights_of(holder.module).get(holder.attribute)
    if isinstance(known, Unpruned):
        return known
    if known is None and holder.attribute.endswith("bias"):
        return _ADDED
    name = next(base.__name__ for base in type(holder.module).__mro__ if "parametrize" not in base.__module__)
    if known is None:
        return Unpruned(f"no layer kind is registered for {name}, so that nobody knows what reads it")
    return Unpruned(f"its shape is not that of a {name}")
