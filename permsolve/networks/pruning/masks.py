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
    skipped : dict of str to str
        Matrix (parameter with two or more axes) that is not pruned -> why.
    share : float
        Share of the entries of all parameters of the model, vectors and lookup tables too, that are under these masks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, LayerError] = {}
        self.notes: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.share = 0.0

    def summary(self) -> str:
        """One line: what share of all parameters was pruned, and which matrices were not."""
        left = f"; not pruned: {', '.join(self.skipped)}" if self.skipped else ""
        return f"{len(self)} weights, {100 * self.share:.1f} % of all parameters{left}"
