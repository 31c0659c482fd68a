"""The portfolio: chooses and sequences other solvers."""

from permsolve_solvers.portfolio.auto import Auto

__all__ = ["Auto"]
