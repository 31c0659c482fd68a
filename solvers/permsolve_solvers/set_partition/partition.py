"""The best partition that can be made of a list of groups."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from permsolve.certificate import Node
from permsolve_solvers.set_partition.branch import Branching
from permsolve_solvers.set_partition.lp import Groups, PartitionLp, Values

# Groups that enter the linear programme at first and per round, and the most that are branched on.
_FIRST = 4000
_MORE = 2000
_BRANCHED = 40_000
_PRICED_OUT = 1e-9


@dataclass(frozen=True, slots=True)
class Partition:
    """What :func:`best_partition` found.

    Attributes
    ----------
    chosen : ndarray of int64, shape (C / M,), or None
        Numbers of the groups of the best partition known, the incumbent's when none is better; None when none is known.
    proven : bool
        No partition into these groups is better (up to a relative 1e-10).
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
) -> Partition:
    """Choose groups that hold every column exactly once and are worth the most together.

    The linear programme over the list is solved by adding the groups that its prices call for; groups whose reduced
    cost exceeds the distance to the incumbent are dropped; branch and bound solves what is left. It is meant for 1e3 to
    1e5 groups, and the better the incumbent, the fewer of them are left. Runs in one thread; the same input gives the
    same answer unless time runs out.

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
        Asked between linear programmes; the best known is returned when it says so.

    Returns
    -------
    Partition
        The best partition known and what is proven about it.
    """
    end = perf_counter() + time_limit
    exponent = int(np.frexp(values.max(initial=0.0))[1]) if values.max(initial=0.0) > 0.0 else 0
    scaled = np.ldexp(values, -exponent)
    best = -np.inf if incumbent is None else float(scaled[incumbent].sum())

    def stop() -> bool:
        return perf_counter() >= end or should_stop()

    root = _root(groups, scaled, columns, incumbent, stop, lambda: end - perf_counter())
    if root is None:
        top = scaled.max(initial=0.0) * (columns // groups.shape[1])
        return Partition(incumbent, False, float(np.ldexp(top, exponent)), ())
    duals, reduced, bound, seed = root
    if seed is not None and float(scaled[seed].sum()) > best:
        incumbent, best = seed, float(scaled[seed].sum())
    nodes = [Node(duals)]
    search = Branching(columns, best, stop, lambda: end - perf_counter())
    if bound > search.cutoff:
        left = np.flatnonzero(reduced >= best - bound)
        nodes = [Node(duals, children=1)]
        if left.shape[0] <= _BRANCHED:
            nodes += search.run(groups[left], scaled[left], bound)
            bound = max(search.open_bound, search.best)
        else:  # too many to prove anything: look for a better one among the most promising
            promising = np.sort(left[np.argsort(-reduced[left], kind="stable")[: _BRANCHED // 4]])
            search.run(groups[promising], scaled[promising], bound)
            nodes = [Node(duals)]
    if search.chosen is not None:
        incumbent = _numbers(groups, search.chosen)
    unscaled = tuple(
        Node(np.ldexp(n.duals, exponent), n.odd_sets, np.ldexp(n.weights, exponent), n.children, n.pair) for n in nodes
    )
    proven = bool(bound <= search.cutoff)
    return Partition(incumbent, proven, float(np.ldexp(max(bound, search.best), exponent)), unscaled)


def _root(
    groups: Groups,
    values: Values,
    columns: int,
    incumbent: NDArray[np.int64] | None,
    stop: Callable[[], bool],
    seconds: Callable[[], float],
) -> tuple[Values, Values, float, NDArray[np.int64] | None] | None:
    """Duals of the linear programme over all groups, reduced costs, bound, and its solution where that is integral."""
    count = columns // groups.shape[1]
    # The groups of most value per column cost, columns priced by the mean value of what holds them.
    share = np.zeros(columns)
    times = np.zeros(columns)
    for position in range(groups.shape[1]):
        np.add.at(share, groups[:, position], values)
        np.add.at(times, groups[:, position], 1.0)
    share /= np.maximum(times, 1.0) * groups.shape[1]
    inside = np.zeros(groups.shape[0], np.bool_)
    inside[np.argsort(-(values - share[groups].sum(axis=1)), kind="stable")[:_FIRST]] = True
    if incumbent is not None:
        inside[incumbent] = True
    numbers = np.flatnonzero(inside)
    lp = PartitionLp(groups[numbers], values[numbers], columns)
    best: tuple[Values, Values, float, NDArray[np.int64] | None] | None = None
    while not stop():
        solution = lp.solve(seconds())
        if solution is None:
            break
        reduced = values - solution.duals[groups].sum(axis=1)
        largest = float(reduced.max(initial=0.0))
        bound = float(solution.duals.sum()) + count * largest
        picked = numbers[solution.x > 0.5]
        seed = picked if picked.shape[0] == count and np.unique(groups[picked]).size == columns else None
        if best is None or bound < best[2]:
            best = solution.duals, reduced, bound, seed if seed is not None else (best[3] if best else None)
        wanted = np.flatnonzero((reduced > _PRICED_OUT) & ~inside)
        if not wanted.shape[0]:
            break
        wanted = wanted[np.argsort(-reduced[wanted], kind="stable")[:_MORE]]
        inside[wanted] = True
        lp.add(groups[wanted], values[wanted])
        numbers = np.concatenate([numbers, wanted])
    return best


def _numbers(groups: Groups, chosen: Groups) -> NDArray[np.int64]:
    """Where each chosen group stands in the list."""
    place = {tuple(group): number for number, group in enumerate(groups.tolist())}
    return np.array([place[tuple(group)] for group in chosen.tolist()], np.int64)
