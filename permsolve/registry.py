"""Solvers by name: the built-in ones and those that other packages register.

A third party registers a solver in its own pyproject.toml::

    [project.entry-points."permsolve.solvers"]
    my-solver = "my_package:MySolver"
"""

import inspect
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from permsolve.errors import InvalidOptionError, SolverUnavailableError, UnknownSolverError
from permsolve.solver import Solver

GROUP = "permsolve.solvers"

# Entry-point objects rather than pyproject entries: a bare clone has none, and an editable install
# does not see new ones until it is installed again.
_BUILT_IN = tuple(
    EntryPoint(name, value, GROUP)
    for name, value in {
        "annealing": "permsolve_solvers.annealing:Annealing",
        "assignment": "permsolve_solvers.assignment:Assignment",
        "channel-swap": "permsolve_solvers.published:ChannelSwap",
        "ria": "permsolve_solvers.published:Ria",
        "stripe-groups": "permsolve_solvers.published:StripeGroups",
        "auto": "permsolve_solvers.portfolio:Auto",
        "column-generation": "permsolve_solvers.column_generation:ColumnGeneration",
        "cp-sat": "permsolve_solvers.cp_sat:CpSat",
        "exhaustive": "permsolve_solvers.exhaustive:Exhaustive",
        "greedy": "permsolve_solvers.greedy:Greedy",
        "identity": "permsolve_solvers.identity:Identity",
        "local-search": "permsolve_solvers.local_search:LocalSearch",
        "matching": "permsolve_solvers.matching:Matching",
        "recombine": "permsolve_solvers.portfolio:Recombine",
        "random": "permsolve_solvers.random:Random",
    }.items()
)


# Those of this process only: see register_solver.
_ADDED: dict[str, EntryPoint] = {}


def register_solver(name: str, target: str) -> None:
    """Make a solver known by name in this process, as an installed package does for all.

    Parameters
    ----------
    name : str
        Name to register.
    target : str
        Where its class is, ``"module:Class"``; imported on first use.

    Raises
    ------
    InvalidOptionError
        When the name is taken by another solver, or the target is not written that way.
    """
    module, colon, attribute = target.partition(":")
    if not (module and colon and attribute):
        raise InvalidOptionError(f"solver {name!r}: write where it is as module:Class, got {target!r}")
    known = _entry_points().get(name)
    if known is not None and known.value != target:
        raise InvalidOptionError(f"a solver called {name!r} is registered already ({known.value}): choose another name")
    _ADDED[name] = EntryPoint(name, target, GROUP)
    refresh()


@lru_cache(maxsize=1)
def _entry_points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {point.name: point for point in _BUILT_IN}
    for point in (*_ADDED.values(), *entry_points(group=GROUP)):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise InvalidOptionError(
                f"two solvers are registered as {point.name!r}: {known.value} and {point.value}; "
                "uninstall one of the packages that bring them"
            )
    return found


def refresh() -> None:
    """Look for installed solvers again (they are looked up once and remembered)."""
    _entry_points.cache_clear()


def available_solvers() -> tuple[str, ...]:
    """Names of all registered solvers, sorted; nothing is imported."""
    return tuple(sorted(_entry_points()))


def solver_class(name: str) -> type[Solver]:
    """The class registered under a name.

    Raises
    ------
    UnknownSolverError
        When there is none; the message lists the known names.
    SolverUnavailableError
        When a package that it needs is missing.
    """
    points = _entry_points()
    if not isinstance(name, str) or name not in points:
        raise UnknownSolverError(f"unknown solver {name!r}: choose one of {', '.join(available_solvers())}")
    try:
        loaded: type[Solver] = points[name].load()
    except ImportError as error:
        raise SolverUnavailableError(
            f"solver {name!r} cannot be loaded ({error}): install the package that it needs"
        ) from error
    return loaded


def get_solver(name: str, /, **options: Any) -> Solver:
    """Make the solver registered under ``name`` with its options.

    Raises
    ------
    UnknownSolverError, SolverUnavailableError
        See :func:`solver_class`.
    InvalidOptionError
        When it has no such option, or the option cannot have this value.
    """
    chosen = solver_class(name)
    known = option_names(chosen)
    unknown = sorted(set(options) - set(known))
    if unknown:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise InvalidOptionError(f"solver {name!r} has no option {unknown[0]!r}: {takes}")
    return chosen(**options)


def option_names(solver: type[Solver]) -> tuple[str, ...]:
    """Names of the options of a solver class."""
    return tuple(inspect.signature(solver).parameters)
