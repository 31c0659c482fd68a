"""The portfolio: solvers that choose, sequence and recombine others."""

from permsolve_solvers.portfolio.auto import Auto
from permsolve_solvers.portfolio.recombine import Recombine

__all__ = ["Auto", "Recombine"]
