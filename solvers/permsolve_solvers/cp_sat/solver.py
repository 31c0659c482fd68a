"""The ``cp-sat`` solver."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from ortools.sat.python import cp_model

from permsolve.certificate import Certificate
from permsolve.cores import Threads
from permsolve.errors import InvalidOptionError, UnsupportedProblemError
from permsolve.permutation import to_groups
from permsolve.problem import Problem
from permsolve.registry import get_solver
from permsolve.run import Run
from permsolve.solver import Capabilities, Outcome
from permsolve_solvers.cp_sat.assignment_model import assignment_model
from permsolve_solvers.pricing.generation import Generation, first_prices
from permsolve_solvers.pricing.pricers import make_pricer, priceable
from permsolve_solvers.sat.model import Groups, Model, Values, partition_model
from permsolve_solvers.sat.search import search, set_parameters

MODELS = ("auto", "groups", "assignment")
# Most groups of the set-partition model, and most Boolean variables (rows x columns x groups) of the other.
_GROUPS = 100_000
_ENTRIES = 200_000
# Largest share of a time limit that is spent on a permutation to start from.
_START = 0.2
_START_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class CpSat:
    """OR-Tools' CP-SAT on a set-partition model over priced groups, or on a direct assignment model.

    The set-partition model takes the groups that the linear programme's prices leave (see ``column-generation``), their
    reduced costs as objective and the best permutation as hint; the direct model, columns to groups and entries to
    keep, is for tiny problems, of any pattern. Objectives are integers, rounded down by a stated amount (below 1e-9 of
    the value), which the bound includes. One iteration is one round of prices or
    ``0.002`` of CP-SAT's deterministic seconds.

    Parameters
    ----------
    model : str, default "auto"
        ``"groups"``, ``"assignment"``, or the first of the two that fits.
    parameters : mapping, optional
        Parameters of CP-SAT by name (``CpSatParameters``), such as ``{"linearization_level": 2}``; they override ours.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        "OR-Tools CP-SAT: set partition over priced groups, or a direct model of tiny problems",
        exact=True,
        warm_start=True,
        parallel=True,
        compiled=True,
        warm_up=20,  # prices; what CP-SAT does itself needs no compiling
        warm_up_columns=16,
        members=("local-search",),
        needs=("ortools", "highspy"),
    )

    model: str = "auto"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise InvalidOptionError(f"cp-sat: model must be one of {', '.join(MODELS)}, got {self.model!r}")
        if not isinstance(self.parameters, Mapping):
            raise InvalidOptionError(f"cp-sat: parameters must map names to values, got {self.parameters!r}")
        set_parameters(cp_model.CpSolver(), self.parameters)

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Price, model, search."""
        if run.should_stop():
            return Outcome()
        if problem.row_bound <= 0.0:
            return Outcome(proven=True)
        if self.model != "assignment":
            with Threads(run.workers) as pool:
                outcome = self._partition(problem, run, pool)
            if outcome is not None:
                return outcome
        if self.model == "groups" or problem.rows * problem.columns * problem.group_count > _ENTRIES:
            raise UnsupportedProblemError(
                f"cp-sat cannot model {problem.rows} x {problem.columns} at {problem.pattern}: too much of it"
            )
        return self._search(assignment_model(problem, run.permutation), problem, run, 0)

    def _partition(self, problem: Problem, run: Run, pool: Threads) -> Outcome | None:
        """The set-partition model; None when the problem has too many groups."""
        if not priceable(problem):
            return None
        if run.timed and not run.warm:
            with run.limited(min(_START_SECONDS * (problem.columns / 64) ** 3, _START * run.remaining)):
                get_solver("local-search").solve(problem, run)
        exponent = int(np.frexp(problem.row_bound / problem.group_count)[1])
        pricer = None if run.should_stop() else make_pricer(problem, run, pool, exponent)
        if pricer is None:
            return Outcome()

        def score(groups: Groups) -> Values:
            scaled: Values = np.ldexp(problem.group_values(groups), -exponent)
            return scaled

        width = problem.columns + problem.padding
        known = np.sort(to_groups(run.permutation, problem.pattern), axis=1)
        generation = Generation(run, pricer, width, exponent, score)
        generation.start(known)
        if not generation.solve(first_prices(problem, run.value, exponent)):
            return Outcome()
        value = float(np.ldexp(run.value, -exponent))
        left = pricer.above(generation.duals, value - generation.bound, _GROUPS)
        if left is None:
            return Outcome() if run.should_stop() or self.model == "groups" else None
        groups = np.unique(np.concatenate([known, left]), axis=0)
        reduced = score(groups) - generation.duals[groups].sum(axis=1)
        held = {tuple(group) for group in known.tolist()}
        used = np.array([tuple(group) in held for group in groups.tolist()])
        model = partition_model(groups, reduced, float(generation.duals.sum()), used, width)
        return self._search(model, problem, run, exponent)

    def _search(self, model: Model, problem: Problem, run: Run, exponent: int) -> Outcome:
        """Let CP-SAT search: until the time is up, or, to be repeatable, in slices that grow."""
        units = 0
        bound = run.bound
        status = cp_model.UNKNOWN
        proven = False
        while not run.should_stop(iterations=units):
            units = 0 if run.timed else max(1, 2 * units)
            status, objective, reached = search(model, problem, run, units=units, parameters=self.parameters)
            if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
                bound = min(bound, float(np.ldexp(model.bound(reached), exponent)))
            # With a gap limit among the parameters it says OPTIMAL of what is only within that gap.
            proven = status == cp_model.OPTIMAL and reached - objective < 1.0
            if run.timed or status not in (cp_model.FEASIBLE, cp_model.UNKNOWN):
                break
        bound = run.value if proven else max(bound, run.value)
        return Outcome(proven=proven, bound=bound, certificate=Certificate("solver", bound))
