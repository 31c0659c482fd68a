"""Whether tests of real 2:4 products can run."""

import torch

from permsolve.networks.sparse.hardware import Cuda


def no_gpu() -> str | None:
    """Why not; None when they can."""
    return Cuda().obstacle(torch.device("cuda"))
