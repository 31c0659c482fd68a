"""Comparing tensors as they are stored."""

import torch
from torch import Tensor


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one type and shape and the same bits; any NaN is like any other."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if torch.equal(_bits(one), _bits(other)):
        return True
    if not one.is_floating_point():
        return False
    nan = one.isnan()
    if not nan.any() or not torch.equal(nan, other.isnan()):
        return False
    return torch.equal(_bits(one.masked_fill(nan, 0.0)), _bits(other.masked_fill(nan, 0.0)))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
