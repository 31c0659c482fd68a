"""Large-neighbourhood search by linear assignment, annealed."""

from permsolve_solvers.assignment.solver import Assignment

__all__ = ["Assignment"]
