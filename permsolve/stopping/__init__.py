"""Composable stopping criteria: ``MaxRuntime(10) | NoImprovement(500)``."""

from permsolve.stopping.compose import AllOf, AnyOf
from permsolve.stopping.criterion import Criterion, Progress, StoppingCriterion
from permsolve.stopping.gap import Gap
from permsolve.stopping.max_iterations import MaxIterations
from permsolve.stopping.max_runtime import MaxRuntime
from permsolve.stopping.no_improvement import NoImprovement
from permsolve.stopping.target import Target
from permsolve.stopping.when_set import WhenSet

__all__ = [
    "AllOf",
    "AnyOf",
    "Criterion",
    "Gap",
    "MaxIterations",
    "MaxRuntime",
    "NoImprovement",
    "Progress",
    "StoppingCriterion",
    "Target",
    "WhenSet",
]
