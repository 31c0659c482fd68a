"""Column permutations that let N:M-sparse networks keep more of their weights.

>>> import numpy as np
>>> from permsolve import Problem, solve
>>> weight = np.random.default_rng(0).normal(size=(64, 32))
>>> result = solve(Problem.from_weight(weight, "2:4"), time_limit=0.5)
>>> reordered = result.apply(weight)
"""

# Nothing is imported here: what Python loads before the command line hears of Ctrl-C ends in a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from permsolve.api import default_time_limit, solve
    from permsolve.bound import Bound, upper_bound
    from permsolve.certificate import Certificate
    from permsolve.errors import PermsolveError
    from permsolve.observers import Incumbent, Observer
    from permsolve.pattern import Pattern
    from permsolve.problem import Problem
    from permsolve.registry import available_solvers, get_solver
    from permsolve.result import Result
    from permsolve.saliency import available_saliencies, register_saliency
    from permsolve.solver import Capabilities, Outcome, Solver
    from permsolve.status import Status, StopReason
    from permsolve.verification import Verification, verify

__version__ = "0.1.0"

# Loaded on first use (SPEC 1), so that importing the package costs nothing.
_EXPORTS = {
    "Bound": "bound",
    "Capabilities": "solver",
    "Certificate": "certificate",
    "Incumbent": "observers",
    "Observer": "observers",
    "Outcome": "solver",
    "Pattern": "pattern",
    "PermsolveError": "errors",
    "Problem": "problem",
    "Result": "result",
    "Solver": "solver",
    "Status": "status",
    "StopReason": "status",
    "Verification": "verification",
    "available_saliencies": "saliency",
    "available_solvers": "registry",
    "default_time_limit": "api",
    "get_solver": "registry",
    "register_saliency": "saliency",
    "solve": "api",
    "upper_bound": "bound",
    "verify": "verification",
}

__all__ = [
    "Bound",
    "Capabilities",
    "Certificate",
    "Incumbent",
    "Observer",
    "Outcome",
    "Pattern",
    "PermsolveError",
    "Problem",
    "Result",
    "Solver",
    "Status",
    "StopReason",
    "Verification",
    "__version__",
    "available_saliencies",
    "available_solvers",
    "default_time_limit",
    "get_solver",
    "register_saliency",
    "solve",
    "upper_bound",
    "verify",
]


def __getattr__(name: str) -> "Any":
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
