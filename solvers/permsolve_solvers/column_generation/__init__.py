"""The ``column-generation`` solver: linear programme over all groups, priced, then branched on."""

from permsolve_solvers.column_generation.solver import ColumnGeneration

__all__ = ["ColumnGeneration"]
