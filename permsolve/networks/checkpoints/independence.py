"""Tensors that lie beside those of a model, and that no permutation of it can put out of step."""

import torch
from torch import Tensor, nn

from permsolve.networks.checkpoints.comparing import same

# A table that was stored in a shorter type, or computed by an older version, is the same table.
_ROUNDING = 1e-2


def independent(name: str, tensor: Tensor, model: nn.Module) -> bool:
    """Whether a tensor, which the model does not read, provably fits its permuted weights as it is.

    So does one whose entries are all equal, since every permutation leaves it as it is; and a table over positions that
    the model computes itself, and that therefore stays in order: causal masks, position numbers, rotary frequencies.

    Parameters
    ----------
    name, tensor : str, Tensor
        What the checkpoint holds.
    model : Module
        The model as it was loaded.
    """
    if tensor.numel() == 0 or bool((tensor == tensor.reshape(-1)[0]).all()):
        return True
    last = name.rpartition(".")[2]
    if last == "position_ids":
        return same(tensor, torch.arange(tensor.shape[-1], device=tensor.device).expand_as(tensor).to(tensor.dtype))
    if last in ("bias", "mask") and tensor.ndim > 2 and tensor.shape[-1] == tensor.shape[-2]:
        return same(tensor, torch.ones_like(tensor).tril())
    kept = model.state_dict().keys()
    return any(
        _equal(tensor, buffer)
        for other, buffer in model.named_buffers(remove_duplicate=False)
        if other not in kept and other.rpartition(".")[2] == last
    )


def _equal(tensor: Tensor, buffer: Tensor) -> bool:
    return tensor.shape == buffer.shape and torch.allclose(tensor.double(), buffer.double(), rtol=_ROUNDING, atol=0.0)
