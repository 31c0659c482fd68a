"""Checkpoints in Hugging Face style folders, permuted or compressed as a whole."""

from permsolve.networks.checkpoints.compress import compress_checkpoint
from permsolve.networks.checkpoints.permute import permute_checkpoint

__all__ = ["compress_checkpoint", "permute_checkpoint"]
