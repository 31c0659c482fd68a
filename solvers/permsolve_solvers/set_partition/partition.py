"""The best partition that can be made of a list of groups."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from permsolve.certificate import Node
from permsolve_solvers.set_partition.branch import Branching
from permsolve_solvers.set_partition.lp import Groups, Values

# Most groups that are branched on.
_BRANCHED = 400_000


@dataclass(frozen=True, slots=True)
class Partition:
    """What :func:`best_partition` found.

    Attributes
    ----------
    chosen : ndarray of int64, shape (C / M,), or None
        Numbers of the groups of the best partition known, the incumbent's when none is better; None when none is known.
    proven : bool
        No partition into these groups is better by more than a relative 1e-10.
    bound : float
        No partition into these groups is worth more, with or without the proof.
    nodes : tuple of Node
        The proof, in the unit of the values: a tree of dual solutions.
    """

    chosen: NDArray[np.int64] | None
    proven: bool
    bound: float
    nodes: tuple[Node, ...]


def best_partition(
    groups: Groups,
    values: Values,
    columns: int,
    *,
    time_limit: float = np.inf,
    incumbent: NDArray[np.int64] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    workers: int = 1,
) -> Partition:
    """Choose groups that hold every column exactly once and are worth the most together.

    The linear programme over the list is solved by adding the groups that its prices call for; groups whose reduced
    cost exceeds the distance to the incumbent are dropped; branch and bound (:class:`.Branching`) solves what is left.
    It is meant for 1e3 to 1e6 groups, and the better the incumbent, the fewer of them are left. With one worker the
    same input gives the same answer unless time runs out.

    Parameters
    ----------
    groups : ndarray of int64, shape (K, M)
        Column numbers, ascending in each group, each below ``columns``; without duplicates.
    values : ndarray of float64, shape (K,)
        What each group is worth.
    columns : int
        Number of columns, a multiple of M (padding columns included).
    time_limit : float
        Seconds.
    incumbent : ndarray of int64, shape (columns / M,), optional
        Numbers of the groups of a known partition.
    should_stop : callable, optional
        Asked between linear programmes, by any worker; the best known is returned when it says so.
    workers : int, default 1
        Threads that share the branching.

    Returns
    -------
    Partition
        The best partition known and what is proven about it.
    """
    end = perf_counter() + time_limit
    top = values.max(initial=0.0)
    exponent = int(np.frexp(top)[1]) if top > 0.0 else 0
    scaled = np.ldexp(values, -exponent)
    best = -np.inf if incumbent is None else float(scaled[incumbent].sum())
    search = Branching(
        columns,
        best,
        lambda: perf_counter() >= end or should_stop(),
        lambda: max(0.0, end - perf_counter()),
        _BRANCHED,
        workers=workers,
    )
    nodes = search.run(groups, scaled, scaled.max(initial=0.0) * (columns // groups.shape[1]))
    if search.chosen is not None:
        place = {tuple(group): number for number, group in enumerate(groups.tolist())}
        incumbent = np.array([place[tuple(group)] for group in search.chosen.tolist()], np.int64)
    bound = max(search.open_bound, search.best)
    return Partition(
        incumbent,
        search.open_bound <= search.cutoff,
        float(np.ldexp(bound, exponent)),
        tuple(node.scaled(exponent) for node in nodes),
    )
