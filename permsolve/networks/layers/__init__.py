"""Kinds of layers: what their weights are, how these are stored, and what reads them.

A third party makes its own known with :func:`register_layer_kind`.
"""

from permsolve.networks.layers import torch_kinds, transformers_kinds
from permsolve.networks.layers.layout import PLAIN, Layout
from permsolve.networks.layers.registry import Unpruned, reads_input, register_layer_kind, weights_of

__all__ = ["PLAIN", "Layout", "Unpruned", "reads_input", "register_layer_kind", "weights_of"]

torch_kinds.register()
transformers_kinds.register()
