"""Whole torch networks: axes that may be permuted, and pruning to N:M."""

from permsolve.networks.pruning import finalize_, is_nm, prune_

__all__ = ["finalize_", "is_nm", "prune_"]
