"""Layers whose weight is a 2:4 tensor, padded where it must be: the same objects under another class.

The class of a layer is exchanged rather than the layer, so that hooks, gathers and references to it stay.
"""

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from permsolve.networks.prunable import WEIGHT


def padded_linear(x: Tensor, weight: Tensor, bias: Tensor | None, features: int) -> Tensor:
    """``x @ weight.T + bias`` where the weight may have more rows and columns than there are features.

    Parameters
    ----------
    x : Tensor, shape (..., in)
        Input.
    weight : Tensor, shape (>= features, >= in)
        Zero beyond.
    bias : Tensor, shape (features,), optional
        Bias.
    features : int
        Width of the output.

    Returns
    -------
    Tensor, shape (..., features), contiguous
        As from a dense layer: views of it are possible. No gradient goes through.
    """
    if x.numel() == 0:  # experts without tokens: the kernels take no empty input
        return x.new_zeros(*x.shape[:-1], features)
    columns = weight.shape[1] - x.shape[-1]
    rows = weight.shape[0] - features
    if columns:
        x = F.pad(x, (0, columns))
    if bias is not None and rows:
        bias = F.pad(bias, (0, rows))
    with torch.no_grad():  # or torch.compile would ask for a product by the transposed weight
        y = F.linear(x.contiguous(), weight, bias)  # torch's 2:4 tensors view their input
    return y[..., :features].contiguous()


class SparseLinear(nn.Linear):
    """A linear layer with a 2:4 weight."""

    def forward(self, input: Tensor) -> Tensor:
        """What the dense layer computes."""
        return padded_linear(input, self.weight, self.bias, self.out_features)


def _pointwise(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution of single points: a linear layer over the channels, at every ``stride``-th point."""
    channels = -1 - len(layer.stride)
    points: list[Any] = [..., *(slice(None, None, step) for step in layer.stride)]
    channels_last = x.movedim(channels, -1).is_contiguous() and not x.is_contiguous()
    x = x[tuple(points)]
    y = padded_linear(x.movedim(channels, -1), weight, bias, layer.out_channels).movedim(-1, channels)
    return y if channels_last else y.contiguous()


class SparseConv1d(nn.Conv1d):
    """A convolution of single points with a 2:4 weight, which is a matrix."""

    def forward(self, input: Tensor) -> Tensor:
        """What the dense layer computes."""
        return _pointwise(self, input, self.weight, self.bias)


class SparseConv2d(nn.Conv2d):
    """A convolution of single points with a 2:4 weight, which is a matrix."""

    def forward(self, input: Tensor) -> Tensor:
        """What the dense layer computes."""
        return _pointwise(self, input, self.weight, self.bias)


class SparseConv3d(nn.Conv3d):
    """A convolution of single points with a 2:4 weight, which is a matrix."""

    def forward(self, input: Tensor) -> Tensor:
        """What the dense layer computes."""
        return _pointwise(self, input, self.weight, self.bias)


_SPARSE: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: SparseLinear,
    nn.Conv1d: SparseConv1d,
    nn.Conv2d: SparseConv2d,
    nn.Conv3d: SparseConv3d,
}


def layer_obstacle(layer: nn.Module) -> str | None:
    """Why a layer has no sparse form; None when it has one."""
    kind = type(layer)
    if kind in _SPARSE.values():
        return "sparse already"
    if kind not in _SPARSE:
        return f"a {kind.__name__} uses its weight in its own way"
    if "forward" in vars(layer):
        return "it has a forward of its own"
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        if any(extent != 1 for extent in layer.kernel_size):
            return f"a kernel of {' x '.join(map(str, layer.kernel_size))}: torch has no 2:4 convolutions"
        if layer.groups != 1:
            return f"a convolution of {layer.groups} groups is no linear layer"
        if layer.padding != "valid" and any(layer.padding) and layer.padding != "same":
            return "a convolution of single points with padding is no linear layer"
    return None


def has_sparse_form(layer: nn.Module) -> bool:
    """Whether a layer is of a class, or of a subclass of one, that has a sparse form."""
    return isinstance(layer, tuple(_SPARSE))


def is_sparse(layer: nn.Module) -> bool:
    """Whether a layer has a sparse form's class."""
    return type(layer) in _SPARSE.values()


def matrix(layer: nn.Module) -> Tensor:
    """The weight of a dense layer that has a sparse form as a matrix, shape (out, in)."""
    return cast(Tensor, getattr(layer, WEIGHT)).detach().flatten(1)


def padded_matrix(layer: nn.Module, shape: tuple[int, int]) -> Tensor:
    """:func:`matrix` with zeros up to a shape, contiguous."""
    weight = matrix(layer)
    rows, columns = shape
    return F.pad(weight, (0, columns - weight.shape[1], 0, rows - weight.shape[0])).contiguous()


def make_sparse_(layer: nn.Module, packed: Tensor) -> None:
    """Give a dense layer its sparse form, with a packed matrix of at least its shape; inference only."""
    layer.__class__ = _SPARSE[type(layer)]
    layer._parameters[WEIGHT] = nn.Parameter(packed, requires_grad=False)


def sparse_copy(layer: nn.Module, packed: Tensor) -> nn.Module:
    """The sparse form of a dense layer, which stays as it is; what both have in common is shared."""
    other = copy.copy(layer)
    other._parameters = dict(layer._parameters)
    make_sparse_(other, packed)
    return other


def dense_shape(layer: nn.Module) -> torch.Size:
    """The shape that the weight of a sparse layer had when it was dense."""
    if isinstance(layer, nn.Linear):
        return torch.Size([layer.out_features, layer.in_features])
    assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    return torch.Size([layer.out_channels, layer.in_channels, *layer.kernel_size])
