"""Upper bounds on what any permutation keeps."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

from permsolve.api import checked_time_limit, checked_workers, compile_kernels, solve
from permsolve.arithmetic import own_arithmetic
from permsolve.certificate import Certificate
from permsolve.errors import InvalidOptionError, UnsupportedProblemError
from permsolve.pair_bound import pair_bound
from permsolve.problem import Problem, check_problem
from permsolve.status import StopReason

METHODS = ("auto", "rows", "pairs", "groups")
# Group-rows that are priced per second and worker, at most: 7e10 at 256 x 256, 9e10 at 1024 x 1024 (measured).
_SPEED = 10**11
# Largest share of the time for the pairs, and for a permutation that prices are guessed from, where the groups follow.
_PAIR_SHARE = 0.2
_START_SHARE = 0.05
_NO_TIME = 1e-3
# Most columns whose pair matrix is made.
_PAIR_COLUMNS = 16_384


@dataclass(frozen=True, eq=False, slots=True)
class Bound:
    """No permutation keeps more than this.

    Attributes
    ----------
    value : float
        The bound.
    method : str
        ``"rows"``, ``"pairs"`` or ``"groups"``: see :func:`upper_bound`.
    certificate : Certificate
        What proves it.
    row_bound : float
        The loose bound: every row pruned freely.
    runtime : float
        Seconds it took.
    notes : dict of str to str
        Remarks: under ``memory``, what was left out because there was not enough of it.
    """

    value: float
    method: str
    certificate: Certificate = field(repr=False)  # thousands of numbers
    row_bound: float
    runtime: float
    notes: dict[str, str] = field(default_factory=dict)


@own_arithmetic
def upper_bound(
    problem: Problem, *, time_limit: float = 60.0, method: str = "auto", workers: int | None = None
) -> Bound:
    """Bound what any permutation of the columns can keep.

    Parameters
    ----------
    problem : Problem
        The problem.
    time_limit : float, default 60
        Seconds, compiling not counted. A bound is valid whenever the time is up, only less tight.
    method : str, default "auto"
        ``"rows"``: every row pruned freely, loose and immediate. ``"pairs"``: a relaxation to pairs of columns, for any
        size. ``"groups"``: the linear programme over all groups (the solver ``column-generation``), by far the
        tightest: at 2:4 some hundred columns take seconds, 1024 some minutes. ``"auto"``: the tightest of them that the
        time allows.
    workers : int, optional
        Threads; all that this process may run on when not given.

    Returns
    -------
    Bound
        The tightest bound found and what proves it; at most the row bound. Where the memory does not do for one that
        the time allows, the others hold, and a note says so.

    Raises
    ------
    InvalidProblemError, InvalidOptionError
        When an argument cannot be used.
    UnsupportedProblemError
        When ``method="groups"`` and there are too many groups to price.

    Examples
    --------
    >>> import numpy as np
    >>> from permsolve import Problem, solve, upper_bound
    >>> problem = Problem(np.random.default_rng(0).random((32, 16)))
    >>> best = solve(problem, "exhaustive").value
    >>> best <= upper_bound(problem).value < problem.row_bound
    True
    """
    check_problem("upper_bound", problem)
    if method not in METHODS:
        raise InvalidOptionError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    limit = checked_time_limit(time_limit)
    threads = checked_workers(workers)
    width = problem.columns + problem.padding
    pass_seconds = math.comb(width, problem.pattern.m) * problem.rows / (_SPEED * threads)
    groups = method == "groups" or (method == "auto" and pass_seconds <= limit)
    pairs = method == "pairs" or (method == "auto" and width <= _PAIR_COLUMNS)
    with suppress(MemoryError):  # which shows again below
        if groups:
            compile_kernels("column-generation", problem)
        if pairs:
            pair_bound(Problem(problem.saliency[:1, : 2 * problem.pattern.m], problem.pattern))  # compiles
    begun = perf_counter()
    found = [Certificate("rows", problem.row_bound)]
    notes: dict[str, str] = {}

    def add(what: str, relaxation: Callable[[], Certificate]) -> None:
        """Add a bound if there is the memory for it: the others hold without."""
        try:
            found.append(relaxation())
        except MemoryError as error:
            notes["memory"] = f"not enough memory for the bound by {what}" + (f": {error}" if str(error) else "")

    def by_pairs(granted: float) -> Certificate:
        return pair_bound(problem, workers=threads, should_stop=lambda: perf_counter() - begun >= granted)

    def by_groups() -> Certificate:
        left = max(_NO_TIME, limit - (perf_counter() - begun))
        result = solve(problem, "column-generation", time_limit=left, workers=threads, branch=False, start=_START_SHARE)
        if result.stop_reason == StopReason.MEMORY:
            notes["memory"] = "not enough memory for the bound by groups: this is how far it came"
        return result.certificate()

    if pairs:
        # Something early, in case the time is too short for the groups after all.
        add("pairs", partial(by_pairs, _PAIR_SHARE * limit if groups else limit))
    if groups:
        try:
            add("groups", by_groups)
        except UnsupportedProblemError:
            if method == "groups":
                raise
            add("pairs", partial(by_pairs, limit))
    best = min(found, key=lambda certificate: certificate.bound)
    name = {"duals": "groups", "branching": "groups", "enumeration": "groups"}.get(best.method, best.method)
    return Bound(best.bound, name, best, problem.row_bound, perf_counter() - begun, notes)
