"""The ``cp-sat`` solver: OR-Tools' CP-SAT on two models."""

from permsolve_solvers.cp_sat.solver import CpSat

__all__ = ["CpSat"]
