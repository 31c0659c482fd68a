"""The masks of a pruned network, and what an update brought."""

from torch import Tensor

from permsolve.networks.pruning.update import LayerError, UpdatedWeight


class Masks(dict[str, Tensor]):
    """Name of a weight -> its mask; ``errors`` has, for weights that were updated, their :class:`LayerError`."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, LayerError] = {}

    def take(self, name: str, mask: Tensor, updated: UpdatedWeight | None) -> None:
        """Add a weight, and write its new values."""
        self[name] = mask
        if updated is not None:
            updated.write()
            self.errors[name] = updated.error
