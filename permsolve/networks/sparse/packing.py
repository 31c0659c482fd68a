"""2:4 weights in half the space: the values that are left, and two bits for where each of them stood.

Pure torch, on any device, exact for every dtype. The values and the bits are those that torch's CUTLASS backend makes,
row by row, before that re-orders the bits for its kernels: the format does not depend on a GPU.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from permsolve.errors import InvalidNetworkError

M = 4
N = 2


@dataclass(frozen=True, eq=False, slots=True)
class PackedWeight:
    """A 2:4 weight without its zeros.

    Attributes
    ----------
    values : Tensor, shape (rows, columns / 2)
        Two values of every four, in order.
    places : Tensor of uint8, shape (rows, ceil(columns / 8))
        Four bits for every four columns, those of even quadruples low: the place of the first value in the lower two,
        that of the second in the upper two. The last byte of a row is half empty when columns / 4 is odd.
    """

    values: Tensor
    places: Tensor

    def __post_init__(self) -> None:
        rows, half = self.values.shape if self.values.ndim == 2 else (0, 1)
        if half % N or self.places.dtype != torch.uint8 or self.places.shape != (rows, -(-half // (2 * N))):
            raise InvalidNetworkError(
                f"values of shape {tuple(self.values.shape)} and places of shape {tuple(self.places.shape)} and type "
                f"{self.places.dtype} make no packed 2:4 weight"
            )


def pack(weight: Tensor) -> PackedWeight:
    """Leave out the zeros of a 2:4 weight.

    Parameters
    ----------
    weight : Tensor, shape (rows, columns), columns a multiple of 4
        At most two of every four consecutive entries of a row differ from zero.

    Raises
    ------
    InvalidNetworkError
        When the shape is another one, or a row has more nonzeros: nothing is ever truncated.
    """
    if weight.ndim != 2 or weight.shape[1] % M or weight.numel() == 0:
        raise InvalidNetworkError(
            f"only a matrix whose columns are a multiple of 4 can be packed, got shape {tuple(weight.shape)}"
        )
    weight = weight.detach()
    quads = weight.reshape(weight.shape[0], -1, M)
    nonzero = quads != 0
    broken = (nonzero.sum(-1) > N).any(1).nonzero().flatten().tolist()
    if broken:
        raise InvalidNetworkError(
            f"the weight is not 2:4: {len(broken)} of {weight.shape[0]} rows break it, the first is row {broken[0]}: "
            "prune it first (networks.prune_ and finalize_)"
        )
    first, second = _places(nonzero)
    values = quads.gather(-1, torch.stack([first, second], -1)).reshape(weight.shape[0], -1)
    bits = (first | second << 2).to(torch.uint8)
    if bits.shape[1] % 2:
        bits = torch.nn.functional.pad(bits, (0, 1))
    return PackedWeight(values, bits[:, ::2] | bits[:, 1::2] << 4)


def _places(nonzero: Tensor) -> tuple[Tensor, Tensor]:
    """Two ascending places of each quadruple that cover its nonzeros; of those with fewer, the ones CUTLASS takes."""
    m0, m1, _, m3 = nonzero.unbind(-1)
    neither = ~m0 & ~m1
    first = (~m0 & m1).long() | neither.long() << 1
    second = ((m0 & m1) | neither | m3).long() | (((~m0 & m1) | ~m1).long() << 1)
    return first, second


def unpack(packed: PackedWeight) -> Tensor:
    """The dense weight, zeros included, that :func:`pack` was given.

    Raises
    ------
    InvalidNetworkError
        When two values claim one place.
    """
    rows, half = packed.values.shape
    quads = half // N
    bits = torch.stack([packed.places & 15, packed.places >> 4], -1).reshape(rows, -1)[:, :quads].long()
    places = torch.stack([bits & 3, bits >> 2], -1)
    if bool((places[..., 0] >= places[..., 1]).any()):
        raise InvalidNetworkError("places of a packed 2:4 weight must ascend in every quadruple: the data is damaged")
    dense = packed.values.new_zeros(rows, quads, M)
    dense.scatter_(-1, places, packed.values.reshape(rows, quads, N))
    return dense.reshape(rows, quads * M)
