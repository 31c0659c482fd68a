"""Matching: the optimum for M = 2, halves of groups re-matched for larger M."""

from permsolve_solvers.matching.solver import Matching

__all__ = ["Matching"]
