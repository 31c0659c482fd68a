"""Find the axis groups of a model: export, walk with the rules, resolve the symmetry structure."""

from permsolve.networks.trace.calls import Call
from permsolve.networks.trace.tracing import trace

__all__ = ["Call", "trace"]
