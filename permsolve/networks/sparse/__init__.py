"""Pruned networks on hardware that runs 2:4: which layers can, which gain, and files that hold them.

:func:`sparsify_` turns pruned layers into torch's semi-structured tensors where a measurement says that it pays;
:func:`save_sparse` and :func:`load_sparse` keep pruned networks in half the space, on any machine.
"""

from permsolve.networks.sparse.machine import GpuReport, gpu_report
from permsolve.networks.sparse.packing import PackedWeight, pack, unpack
from permsolve.networks.sparse.report import LayerReport, SparseReport
from permsolve.networks.sparse.saving import load_sparse, save_sparse
from permsolve.networks.sparse.sparsify import sparsify_

__all__ = [
    "GpuReport",
    "LayerReport",
    "PackedWeight",
    "SparseReport",
    "gpu_report",
    "load_sparse",
    "pack",
    "save_sparse",
    "sparsify_",
    "unpack",
]
