"""The inputs of a convolution as rows that its flattened weight is multiplied by."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from permsolve.networks.calibration.hidden import small

# Entries of the unfolded input that are made at a time.
CHUNK = 1 << 24


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a layer reads its input; one of a linear layer has no kernel.

    Attributes
    ----------
    kernel, stride, dilation : tuple of int
        One entry for each spatial dimension.
    padding : tuple of int
        As :func:`torch.nn.functional.pad` takes it.
    padding_mode : str
        As :func:`torch.nn.functional.pad` calls it.
    groups : int
        Groups of the convolution.
    spread : tuple of int
        Of a transposed convolution: how far apart its inputs are when it is a convolution with a stride of 1.
    part : int, optional
        The first of the matrices that make up the weight (experts) that the input is multiplied by; without it, all.
    ends : tuple of int, optional
        Where the rows of an input end that belong to one of these after the other.
    stacked : bool
        Whether the first axis of the input is that of these matrices.
    partial : bool
        Whether only some rows of the weight read this input.
    """

    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    padding_mode: str = "constant"
    groups: int = 1
    spread: tuple[int, ...] = ()
    part: int | None = None
    ends: tuple[int, ...] | None = None
    stacked: bool = False
    partial: bool = False

    @classmethod
    def of(cls, layer: nn.Module) -> "Geometry":
        """That of a convolution, transposed or not, or of a layer that multiplies the last dimension of its input."""
        if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            return cls._transposed(layer)
        if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return cls()
        return cls(
            tuple(layer.kernel_size),
            tuple(layer.stride),
            tuple(layer.dilation),
            tuple(layer._reversed_padding_repeated_twice),  # for padding="same", too
            "constant" if layer.padding_mode == "zeros" else layer.padding_mode,
            layer.groups,
        )

    @classmethod
    def _transposed(cls, layer: Any) -> "Geometry":
        """A transposed convolution is one with a stride of 1, a kernel that is turned, and inputs that are spread."""
        kernel, dilation = tuple(layer.kernel_size), tuple(layer.dilation)
        padding: list[int] = []
        for size, step, cut, more in zip(kernel, dilation, layer.padding, layer.output_padding, strict=True):
            edge = step * (size - 1) - cut
            padding = [edge, edge + more, *padding]
        return cls(
            kernel, (1,) * len(kernel), dilation, tuple(padding), "constant", layer.groups, tuple(layer.stride)
        )  # fmt: skip

    @classmethod
    def of_call(cls, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int) -> "Geometry":
        """That of a call of ``aten.convolution``."""
        spatial = weight.ndim - 2

        def each(numbers: Any) -> tuple[int, ...]:
            return tuple(numbers) * (spatial if len(numbers) == 1 else 1)

        pads = tuple(pad for one in reversed(each(padding)) for pad in (one, one))
        return cls(tuple(weight.shape[2:]), each(stride), each(dilation), pads, "constant", groups)

    def parts(self, x: Tensor, hidden: Tensor | None) -> Iterator[tuple[int | None, Tensor, Tensor | None]]:
        """An input, with what is hidden of it, by the matrices of the weight that read it; None for all of them."""
        if self.part is None or (self.ends is None and not self.stacked):
            yield self.part, x, hidden
            return
        first = 0
        for number in range(len(x) if self.ends is None else len(self.ends)):
            place = slice(number, number + 1)
            if self.ends is not None:
                place = slice(first, self.ends[number])
                first = self.ends[number]
            yield self.part + number, x[place], None if hidden is None else hidden[place]

    def rows(self, x: Tensor, features: int, hidden: Tensor | None = None) -> Iterator[Tensor]:
        """Rows of an input, in parts of bounded size, without those of which all entries are hidden.

        Parameters
        ----------
        x : Tensor
            Input of the layer: (..., in) of a linear one, (in, places...) or (batch, in, places...) of a convolution.
        features : int
            Width of the flattened weight.
        hidden : Tensor of bool, shape of the input, optional
            What is padding.

        Yields
        ------
        Tensor, shape (samples, groups, features)
            Channels before places of the kernel, as ``weight.reshape(out, -1)`` has them.
        """
        if hidden is None:
            yield from self._rows(x, features)
            return
        real = (~small(hidden)).to(torch.float32).expand(hidden.shape)
        for part, seen in zip(self._rows(x, features), self._rows(real, features), strict=True):
            yield part[seen.amax((1, 2)) > 0.0]

    def _rows(self, x: Tensor, features: int) -> Iterator[Tensor]:
        x = unbatched(x.detach())
        if not self.kernel:
            yield x.reshape(-1, 1, features)
            return
        spatial = len(self.kernel)
        x = x.reshape(-1, *x.shape[-1 - spatial :])
        if self.spread:
            x = _spread(x, self.spread)
        if any(self.padding):
            x = F.pad(x, self.padding, mode=self.padding_mode)
        for dim, (size, step, dilation) in enumerate(zip(self.kernel, self.stride, self.dilation, strict=True), 2):
            x = x.unfold(dim, dilation * (size - 1) + 1, step)[..., ::dilation]
        # (batch, channels, places..., kernel...): still a view of the input
        if self.spread:
            x = x.flip([*range(2 + spatial, 2 + 2 * spatial)])
        windows = x.unflatten(1, (self.groups, -1))
        windows = windows.permute(0, *range(3, 3 + spatial), 1, 2, *range(3 + spatial, 3 + 2 * spatial))
        for image in windows.split(max(1, CHUNK // max(1, windows[:1].numel()))):
            lines = max(1, CHUNK // max(1, image[:, :1].numel()))
            for part in image.split(lines, dim=1):
                yield part.reshape(-1, self.groups, features)


def _spread(x: Tensor, steps: tuple[int, ...]) -> Tensor:
    """Images (batch, channels, places...) with zeros between their places."""
    places = [(length - 1) * step + 1 for length, step in zip(x.shape[2:], steps, strict=True)]
    wide = x.new_zeros(*x.shape[:2], *places)
    sparse = wide
    for axis, step in enumerate(steps, 2):
        sparse = sparse.unfold(axis, 1, step).squeeze(-1)  # every step-th place: a view
    sparse.copy_(x)
    return wide


def unbatched(x: Tensor) -> Tensor:
    """A tensor of ``torch.vmap`` with the axes that it hides, in front."""
    functorch = torch._C._functorch
    while functorch.is_batchedtensor(x):
        x = functorch.get_unwrapped(x).movedim(functorch.maybe_get_bdim(x), 0)
    return x


def moments_of(rows: Tensor, full: bool) -> Tensor:
    """Sum over rows (samples, groups, d) of their products, (groups, d, d), or of their squares, (groups, d).

    Products are in float32 (float64 for float64), whatever autocast says; squares are summed in float64.
    """
    with torch.autocast(rows.device.type, enabled=False):
        rows = rows if rows.dtype == torch.float64 else rows.float()
        if not full:
            return rows.square().sum(0, dtype=torch.float64)
        by_group = rows.transpose(0, 1)
        return by_group.transpose(1, 2) @ by_group
