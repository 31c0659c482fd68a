"""Permuting, pruning and fitting a network in one call."""

from permsolve.networks.compression.compress import compress_
from permsolve.networks.compression.recipe import RECIPES, Recipe
from permsolve.networks.compression.report import CompressionReport

__all__ = ["RECIPES", "CompressionReport", "Recipe", "compress_"]
