"""The masks of a pruned network, and what they cost."""

from torch import Tensor

from permsolve.networks.pruning.update import LayerError


class Masks(dict[str, Tensor]):
    """Name of a weight -> its mask.

    Attributes
    ----------
    errors : dict of str to LayerError
        Weight -> by how much the outputs of its layer change, where its inputs are known.
    notes : dict of str to str
        Weight -> what is to be known of how it was pruned: that no calibration data reached it, for instance.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, LayerError] = {}
        self.notes: dict[str, str] = {}
