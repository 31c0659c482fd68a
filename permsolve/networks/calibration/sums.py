"""Running sums of the second moments of what one layer reads."""

import math

import torch
from torch import Tensor

from permsolve.errors import InvalidNetworkError
from permsolve.moments import InputMoments
from permsolve.networks.calibration.geometry import Geometry, moments_of

# Inputs whose largest value lies between have products, and sums of them, that float32 holds.
_SMALL, _LARGE = 1e-12, 1e15


class Sums:
    """Sums in float64 of products that are made in float32, or in float64 where float32 could not hold them.

    Parameters
    ----------
    name : str
        The weight, for messages.
    features : int
        Width of its flattened form.
    full : bool
        Whether all products are summed, or squares only.
    """

    def __init__(self, name: str, features: int, full: bool) -> None:
        self.name, self.features, self.full = name, features, full
        self.samples = 0
        self._total: Tensor | None = None
        self._double = False

    def add(self, x: Tensor, geometry: Geometry, batch: int, hidden: Tensor | None = None) -> None:
        """Add what the layer reads in one call, with a batch of this number.

        Rows do not count of which all entries are hidden.

        Raises
        ------
        InvalidNetworkError
            When it holds NaN, infinity, or no values at all.
        """
        if x.is_meta:
            raise InvalidNetworkError(
                f"{self.name} reads from the meta device, where there are no values: load the weights first"
            )
        for rows in geometry.rows(x, self.features, hidden):
            if len(rows):
                self._add(rows, batch)

    def _add(self, rows: Tensor, batch: int) -> None:
        largest = max(map(abs, torch.stack(torch.aminmax(rows)).tolist()))  # NaN where one is NaN
        if not math.isfinite(largest):
            raise InvalidNetworkError(self._refusal(batch, "NaN or infinity"))
        if largest and not _SMALL < largest < _LARGE:
            rows = rows.double()
        found = moments_of(rows, self.full)
        if largest >= _LARGE and not torch.isfinite(found).all():
            raise InvalidNetworkError(self._refusal(batch, f"values up to {largest:.3g}, whose squares are infinite,"))
        self.samples += len(rows)
        self._double |= rows.dtype == torch.float64
        if self._total is None:
            self._total = found.double()
        else:
            self._total += found

    def _refusal(self, batch: int, what: str) -> str:
        return f"{self.name} reads {what} in batch {batch}: look at this batch, or leave the layer out with exclude="

    def moments(self) -> InputMoments | None:
        """Means of all that was added, None when nothing was; the sums are used up."""
        if self._total is None:
            return None
        mean = self._total.div_(self.samples).cpu()
        self._total = None
        if not self.full:
            return InputMoments(mean.numpy(), samples=self.samples)
        mean_square = mean.diagonal(dim1=1, dim2=2).clone()
        second = mean if self._double else mean.float()
        del mean
        upper = second.mT.clone()  # products of matrices need not be symmetric to the last bit
        second.add_(upper).mul_(0.5)
        return InputMoments(mean_square.numpy(), second.numpy(), self.samples)
