"""Running sums of the second moments of what one layer reads."""

import math

import torch
from torch import Tensor

from permsolve.errors import InvalidNetworkError
from permsolve.moments import InputMoments
from permsolve.networks.calibration.geometry import Geometry, moments_of

# Inputs whose largest value lies between have products, and sums of them, that float32 holds.
_SMALL, _LARGE = 1e-12, 1e15
# A sum in float64, and one product in float32.
_BYTES = 8 + 4


def largest_of(values: Tensor) -> float:
    """The largest absolute value, NaN where one is NaN."""
    lowest, highest = torch.stack(torch.aminmax(values)).tolist()
    return max(abs(float(lowest)), abs(float(highest)))


def held_by_float32(largest: float) -> bool:
    """Whether float32 holds products, and sums of them, of values of which this is the largest."""
    return largest == 0.0 or _SMALL < largest < _LARGE


def size_of_sums(groups: int, features: int, *, full: bool) -> int:
    """Bytes that the sums of a weight need."""
    return groups * features * (features if full else 1) * _BYTES


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
    groups : int
        Groups of a convolution, or matrices that make up the weight (experts).

    Attributes
    ----------
    samples : list of int
        Rows that each group has read.
    """

    def __init__(self, name: str, features: int, full: bool, groups: int) -> None:
        self.name, self.features, self.full = name, features, full
        self.samples = [0] * groups
        self._together = True
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
        for part, own, unseen in geometry.parts(x, hidden):
            for rows in geometry.rows(own, self.features, unseen):
                if len(rows):
                    self._add(rows, batch, part)

    def _add(self, rows: Tensor, batch: int, part: int | None) -> None:
        largest = largest_of(rows)
        if not math.isfinite(largest):
            raise InvalidNetworkError(self._refusal(batch, "NaN or infinity"))
        if not held_by_float32(largest):
            rows = rows.double()
        found = moments_of(rows, self.full)
        if largest >= _LARGE and not torch.isfinite(found).all():
            raise InvalidNetworkError(self._refusal(batch, f"values up to {largest:.3g}, whose squares are infinite,"))
        self._double |= rows.dtype == torch.float64
        groups = len(self.samples)
        chosen = slice(groups) if part is None else slice(part, part + 1)
        for group in range(*chosen.indices(groups)):
            self.samples[group] += len(rows)
        self._together &= part is None
        if self._total is None and part is None:
            self._total = found.double()
            return
        if self._total is None:
            self._total = torch.zeros(groups, *found.shape[1:], dtype=torch.float64, device=found.device)
        self._total[chosen] += found

    @property
    def idle(self) -> tuple[int, ...]:
        """Groups that have read nothing."""
        return tuple(group for group, samples in enumerate(self.samples) if not samples)

    def _refusal(self, batch: int, what: str) -> str:
        return f"{self.name} reads {what} in batch {batch}: look at this batch, or leave the layer out with exclude="

    def moments(self) -> InputMoments | None:
        """Means of all that was added, None when nothing was; the sums are used up.

        Inputs of groups that have read nothing are taken to be all alike, as large as those of the others.
        """
        if self._total is None:
            return None
        counts = torch.tensor(self.samples, dtype=torch.float64, device=self._total.device)
        mean = self._total.div_(counts.clamp_(min=1.0).view(-1, *[1] * (self._total.ndim - 1))).cpu()
        self._total = None
        if self.idle:
            squares = mean.diagonal(dim1=1, dim2=2) if self.full else mean
            squares[list(self.idle)] = float(squares.sum()) / (self.features * (len(squares) - len(self.idle))) or 1.0
        samples = self.samples[0] if self._together else sum(self.samples)
        if not self.full:
            return InputMoments(mean.numpy(), samples=samples)
        mean_square = mean.diagonal(dim1=1, dim2=2).clone()
        second = mean if self._double else mean.float()
        del mean
        upper = second.mT.clone()  # products of matrices need not be symmetric to the last bit
        second.add_(upper).mul_(0.5)
        return InputMoments(mean_square.numpy(), second.numpy(), samples)
