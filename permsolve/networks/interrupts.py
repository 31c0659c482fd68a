"""Changes of a model that Ctrl-C does not cut in half."""

from permsolve.signals import signals_wait as ctrl_c_waits

__all__ = ["ctrl_c_waits"]
