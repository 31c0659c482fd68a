"""Whole torch networks: permuted so that N:M keeps more of them, without changing their function.

How it works: the model is exported to a graph of ATen operators. Every position of every axis of every parameter is a
*vertex*; each operator, by a rule of its family, ties vertices together that must move as one, and marks those that
must stay among their like (:mod:`permsolve.networks.symmetry`). What can still be exchanged are the axis groups
(:class:`Spec`). An operator without a rule pins all that it touches, and so do inputs and outputs. Each group becomes
one N:M problem of all prunable weights that read its channels; the permutations are folded into the parameters, and
the outputs are compared before and after.
"""

from permsolve.errors import VerificationError
from permsolve.networks.applying import apply_, invert_
from permsolve.networks.calibration import Calibration, calibrate
from permsolve.networks.compression import CompressionReport, Recipe, compress_
from permsolve.networks.layers import Layout, Unpruned, register_layer_kind
from permsolve.networks.permute import permute_
from permsolve.networks.pruning import finalize_, is_nm, prune_
from permsolve.networks.report import GroupReport, Report
from permsolve.networks.sparse import SparseReport, load_sparse, save_sparse, sparsify_
from permsolve.networks.spec import AxisGroup, AxisUse, Spec
from permsolve.networks.trace import Call, trace

__all__ = [
    "AxisGroup",
    "AxisUse",
    "Calibration",
    "Call",
    "CompressionReport",
    "GroupReport",
    "Layout",
    "Recipe",
    "Report",
    "SparseReport",
    "Spec",
    "Unpruned",
    "VerificationError",
    "apply_",
    "calibrate",
    "compress_",
    "finalize_",
    "invert_",
    "is_nm",
    "load_sparse",
    "permute_",
    "prune_",
    "register_layer_kind",
    "save_sparse",
    "sparsify_",
    "trace",
]
