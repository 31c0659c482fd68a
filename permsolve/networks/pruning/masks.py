"""The masks of a pruned network, and what they cost."""

from torch import Tensor

from permsolve.networks.pruning.update import LayerError


class Masks(dict[str, Tensor]):
    """Name of a weight -> its mask; ``errors`` has the :class:`LayerError` of each whose inputs are known."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, LayerError] = {}
