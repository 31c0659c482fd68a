"""Fitting the weights that a mask keeps to the outputs of the dense layer."""

from permsolve.reconstruction.fit import fit_masked
from permsolve.reconstruction.least_squares import refit
from permsolve.reconstruction.output_error import output_error
from permsolve.reconstruction.sweep import sweep

__all__ = ["fit_masked", "output_error", "refit", "sweep"]
