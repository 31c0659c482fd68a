"""Fitting the weights that a mask keeps to the outputs of the dense layer, and better masks for it."""

from permsolve.reconstruction.bounded import fit_bounded
from permsolve.reconstruction.exchange import exchange
from permsolve.reconstruction.fit import affordable, fit_masked
from permsolve.reconstruction.groups import pattern_groups
from permsolve.reconstruction.least_squares import refit
from permsolve.reconstruction.output_error import output_error
from permsolve.reconstruction.sweep import sweep

__all__ = ["affordable", "exchange", "fit_bounded", "fit_masked", "output_error", "pattern_groups", "refit", "sweep"]
