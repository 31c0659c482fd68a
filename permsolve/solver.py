"""What a solver is: the protocol, what it can do, and what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from permsolve.certificate import Certificate
from permsolve.problem import Problem
from permsolve.run import Run


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a solver can do.

    Attributes
    ----------
    summary : str
        One line for the list of solvers.
    exact : bool
        Proves optimality when it runs to its end.
    anytime : bool
        Goes on improving until it is stopped, and returns the best found whenever that is.
    warm_start : bool
        Uses the initial permutation (the core never returns worse than it in any case).
    parallel : bool
        Uses more than one worker.
    patterns : str
        The N:M patterns it takes, in words.
    compiled : bool
        Uses jitted kernels: the core runs it on a tiny problem before the clock starts, so that no time limit
        pays for compiling them or for loading them from the cache.
    warm_up : int
        Iterations of that run: enough to reach every phase.
    warm_up_columns : int
        Columns of the tiny problem, at least: one that is not proven at once by what the solver tries first.
    warm_up_options : tuple of mapping
        Options of that run; several where no single one reaches every phase.
    members : tuple of str
        Names of solvers that it runs when there is a time limit: they are compiled, too.
    needs : tuple of str
        Distributions it needs beyond the core install.
    """

    summary: str
    exact: bool = False
    anytime: bool = False
    warm_start: bool = False
    parallel: bool = False
    patterns: str = "all"
    compiled: bool = False
    warm_up: int = 300
    warm_up_columns: int = 32
    warm_up_options: tuple[Mapping[str, Any], ...] = ({},)
    members: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a solver says when it ends; its permutations went to :meth:`permsolve.run.Run.offer`.

    Attributes
    ----------
    proven : bool
        The best permutation offered is optimal.
    bound : float or None
        A valid upper bound on the value of every permutation.
    certificate : Certificate or None
        What proves the bound, or the optimum.
    """

    proven: bool = False
    bound: float | None = None
    certificate: Certificate | None = None


class Solver(Protocol):
    """A solver: a class whose keyword arguments are its options, usually a frozen dataclass.

    It is registered by name in the entry-point group ``permsolve.solvers``. It offers permutations to the
    run as it finds them and asks it when to stop; the core scores what is offered, keeps the best and
    makes the :class:`permsolve.Result`.
    """

    capabilities: ClassVar[Capabilities]

    def solve(self, problem: Problem, run: Run, /) -> Outcome:
        """Search until done or until ``run.should_stop()``."""
        ...
