"""Checkpoints in Hugging Face style folders, permuted as a whole."""

from permsolve.networks.checkpoints.conversion import permute_checkpoint

__all__ = ["permute_checkpoint"]
