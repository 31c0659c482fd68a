"""Pruning the weights of a network to N:M, with masks that training keeps."""

from permsolve.networks.pruning.checking import is_nm
from permsolve.networks.pruning.finalize import finalize_
from permsolve.networks.pruning.mask import NMMask
from permsolve.networks.pruning.prune import prune_

__all__ = ["NMMask", "finalize_", "is_nm", "prune_"]
