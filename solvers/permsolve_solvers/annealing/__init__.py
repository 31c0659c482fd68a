"""Simulated annealing by swaps, without rejections."""

from permsolve_solvers.annealing.solver import Annealing

__all__ = ["Annealing"]
