"""A search by CP-SAT that offers what it finds to a run, and stops when the run must."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from ortools.sat.python import cp_model

from permsolve.cores import Threads
from permsolve.errors import InvalidOptionError, UnsupportedProblemError
from permsolve.permutation import from_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve_solvers.sat.model import Model

_POLL = 0.02
# Deterministic seconds of CP-SAT that count as one iteration.
_UNIT = 0.002


def set_parameters(solver: cp_model.CpSolver, parameters: Mapping[str, Any]) -> None:
    """Set parameters by name.

    Raises
    ------
    InvalidOptionError
        For a name or a value that CP-SAT does not take.
    """
    for name, value in parameters.items():
        try:
            setattr(solver.parameters, name, value)
        except (AttributeError, TypeError, ValueError) as error:
            raise InvalidOptionError(f"cp-sat: parameter {name}={value!r}: {error}") from error


def search(
    model: Model, problem: Problem, run: Run, *, units: int = 0, parameters: Mapping[str, Any] | None = None
) -> tuple[cp_model.CpSolverStatus, float, float]:
    """Search, in a thread, while this one listens for Ctrl-C and the clock; status, objective and bound.

    Parameters
    ----------
    model : Model
        What to maximise; solutions are offered to the run.
    problem : Problem
        Of which the solutions are.
    run : Run
        Its workers, seed and time limit are CP-SAT's.
    units : int, default 0
        If not 0, so many iterations, in an order that can be repeated.
    parameters : mapping, optional
        See :func:`set_parameters`; they override ours.
    """
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = run.workers
    solver.parameters.random_seed = run.seed % 2**31
    solver.parameters.catch_sigint_signal = False
    solver.parameters.linearization_level = 2
    if np.isfinite(run.time_limit):
        solver.parameters.max_time_in_seconds = max(run.remaining, 1e-3)
    if units:
        solver.parameters.interleave_search = True
        solver.parameters.max_deterministic_time = _UNIT * units
    set_parameters(solver, parameters or {})
    collector = _Collector(model)
    with Threads(1) as pool:
        if not pool.any:  # nothing could stop it then
            raise UnsupportedProblemError(
                "cp-sat needs a thread of its own, and the system grants none: raise its limit or choose another solver"
            )
        task = pool.submit(solver.solve, model.proto, collector)
        while not task.done():
            _offer(collector, model, problem, run)
            if run.should_stop():
                solver.stop_search()
            collector.news.wait(_POLL)
        status = task.result()
    _offer(collector, model, problem, run)
    return status, float(solver.objective_value), float(solver.best_objective_bound)


def _offer(collector: "_Collector", model: Model, problem: Problem, run: Run) -> None:
    collector.news.clear()
    while collector.found:
        chosen = model.chosen(collector.found.pop(0), problem)
        run.offer(from_groups(chosen, problem.columns))


class _Collector(cp_model.CpSolverSolutionCallback):
    """Takes solutions from CP-SAT's threads to ours."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model
        self.news = threading.Event()
        self.found: list[Any] = []

    def on_solution_callback(self) -> None:
        """Called by CP-SAT at every better solution."""
        self.found.append(np.array([self.boolean_value(literal) for literal in self._model.literals]))
        self.news.set()
