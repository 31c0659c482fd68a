"""Local search on the exchange matrix: swaps, assignment moves, perturbation."""

from permsolve_solvers.local_search.solver import LocalSearch

__all__ = ["LocalSearch"]
