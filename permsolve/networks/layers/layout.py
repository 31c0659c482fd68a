"""Which axis of a stored weight is which, and the weight as (out, in, kernel...)."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from permsolve.checks import is_whole, require


@dataclass(frozen=True, slots=True)
class Layout:
    """How a weight is stored; axes that are not named are those of a kernel.

    Attributes
    ----------
    out : int, default 0
        The axis of the outputs.
    input : int, default 1
        The axis of what is read: products are summed up along it, and the pattern runs along it.
    batch : int, optional
        The axis of matrices that stand side by side, each with inputs and outputs of its own (experts).
    groups : int, default 1
        The input axis holds the inputs of so many groups one after the other, each of which makes outputs of its own
        (a transposed convolution, whose weight is (in, out / groups, kernel...)).
    """

    out: int = 0
    input: int = 1
    batch: int | None = None
    groups: int = 1

    def __post_init__(self) -> None:
        axes = [self.out, self.input, *([] if self.batch is None else [self.batch])]
        good = all(is_whole(axis) and axis >= 0 for axis in axes) and len(set(axes)) == len(axes)
        require(good, "layout", "different axes, counted from 0", tuple(axes))
        require(is_whole(self.groups) and self.groups >= 1, "groups", "a whole number >= 1", self.groups)
        require(self.batch is None or self.groups == 1, "groups", "1 where there is a batch axis", self.groups)

    @property
    def plain(self) -> bool:
        """Whether the weight is stored as it is read, as linear layers and convolutions have it."""
        return self == PLAIN

    def to_dict(self) -> dict[str, int]:
        """What differs from a plain layout, as JSON values; ``Layout(**...)`` is the inverse."""
        return {name: value for name, value in asdict(self).items() if value != getattr(PLAIN, name)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Make a layout of what :meth:`to_dict` gave."""
        return cls(**{str(name): int(value) for name, value in document.items()})

    def fits(self, tensor: Tensor) -> bool:
        """Whether a tensor has the axes, and groups of equal size."""
        axes = [self.out, self.input, *([] if self.batch is None else [self.batch])]
        return max(axes) < tensor.ndim and tensor.shape[self.input] % self.groups == 0

    def matrix(self, stored: Tensor) -> Tensor:
        """A stored tensor as (out, in, kernel...), those of a batch or of groups one below the other; may be a view."""
        if self.plain:
            return stored
        return self.apart(stored).flatten(0, 1) if self.divided else self.apart(stored)[0]

    def apart(self, stored: Tensor) -> Tensor:
        """A stored tensor as (batch or groups, out, in, kernel...): a view."""
        divided = stored.unflatten(self.input, (self.groups, -1)) if self.groups > 1 else stored
        ordered = divided.permute(self._order(stored.ndim))
        return ordered if self.divided else ordered.unsqueeze(0)

    def stored(self, matrix: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A tensor as :meth:`matrix` gives it, as it is stored in a tensor of this shape."""
        if self.plain:
            return matrix
        order = self._order(len(shape))
        parts = matrix.unflatten(0, (self.parts(shape), -1)) if self.divided else matrix
        return parts.permute(np.argsort(order).tolist()).reshape(shape).contiguous()

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of :meth:`matrix` for a stored tensor of some shape."""
        known = {self.out, self.input, self.batch}
        kernel = [length for axis, length in enumerate(shape) if axis not in known]
        return shape[self.out] * self.parts(shape), shape[self.input] // self.groups, *kernel

    @property
    def divided(self) -> bool:
        """Whether :meth:`matrix` puts several matrices one below the other."""
        return self.batch is not None or self.groups > 1

    def parts(self, shape: tuple[int, ...]) -> int:
        """How many matrices :meth:`matrix` puts one below the other."""
        return self.groups if self.batch is None else shape[self.batch]

    def _order(self, rank: int) -> list[int]:
        """Axes of the stored tensor, its groups divided, as batch or groups, out, in, kernel."""
        extra = int(self.groups > 1)  # the groups' axis stands in front of that of the inputs
        found = {"out": self.out, "input": self.input, "batch": self.batch}
        moved = {name: axis + extra * (axis >= self.input) for name, axis in found.items() if axis is not None}
        lead = [self.input] if extra else [moved["batch"]] if self.batch is not None else []
        named = [*lead, moved["out"], moved["input"]]
        return [*named, *(axis for axis in range(rank + extra) if axis not in named)]

    def places(
        self, axis: int, positions: NDArray[np.int64], shape: tuple[int, ...]
    ) -> Iterator[tuple[int, tuple[int, int] | None, NDArray[np.int64]]]:
        """Where entries along an axis of the stored tensor stand in :meth:`matrix`.

        Parameters
        ----------
        axis : int
            The axis.
        positions : ndarray of int64, shape (size, copies)
            Entries along it: a row for each channel.
        shape : tuple of int
            Of the stored tensor.

        Yields
        ------
        tuple of int, (int, int) or None, ndarray
            An axis of the matrix (0 or 1), the rows that are meant (None: all), and the positions along it. Nothing for
            axes of a kernel.
        """
        parts, outputs = self.parts(shape), shape[self.out]
        if axis == self.out:
            starts = np.arange(parts, dtype=np.int64) * outputs
            yield 0, None, (positions[:, :, None] + starts).reshape(len(positions), -1)
        elif axis == self.batch:
            yield 0, None, (positions[:, :, None] * outputs + np.arange(outputs)).reshape(len(positions), -1)
        elif axis == self.input and self.groups == 1:
            yield 1, None, positions
        elif axis == self.input:
            each = shape[axis] // self.groups
            if each == 1:  # whole groups move, and their outputs along
                yield 0, None, (positions[:, :, None] * outputs + np.arange(outputs)).reshape(len(positions), -1)
                return
            owner = positions // each
            for group in np.unique(owner[0]).tolist():
                own = positions[:, (owner == group).all(axis=0)]
                if own.size:
                    yield 1, (group * outputs, (group + 1) * outputs), own - group * each


PLAIN = Layout()
