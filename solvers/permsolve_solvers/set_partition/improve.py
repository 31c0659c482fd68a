"""A better partition by re-partitioning some of its groups at a time, over a list of priced groups."""

from collections.abc import Callable

import numpy as np

from permsolve_solvers.set_partition.branch import TOLERANCE, Branching
from permsolve_solvers.set_partition.lp import Groups, Values

# Groups that are re-partitioned at first; one more after a search of few nodes, one less after one that was cut off.
_FIRST = 10
_QUICK_NODES = 20
_MOST_NODES = 100
# Tries in a row without a better partition after which it ends.
_PATIENCE = 20
# What counts as better, as a share of the largest value.
_BETTER = 1e-9


def improve(
    groups: Groups,
    reduced: Values,
    chosen: Groups,
    rng: np.random.Generator,
    stop: Callable[[], bool],
    seconds: Callable[[], float],
) -> Groups:
    """Re-partition the columns of a few groups at a time, in the best way that the list allows.

    Any partition of the same columns pays the same prices, so reduced costs are compared instead of values: what the
    groups picked lose against the prices is the room for improvement, and only groups that lose less can be in a better
    partition. That leaves so few that branch and bound is quick.

    Parameters
    ----------
    groups : ndarray of int64, shape (K, M)
        The list; columns ascending in each group.
    reduced : ndarray of float64, shape (K,)
        Their reduced costs under dual feasible prices: at most about 0.
    chosen : ndarray of int64, shape (G, M)
        The partition to begin with; its groups are in the list.
    rng : numpy Generator
        Chooses the groups: the more they lose, the likelier.
    stop : callable
        Asked before every try.
    seconds : callable
        Seconds left.

    Returns
    -------
    ndarray of int64, shape (G, M)
        A partition at least as good.

    References
    ----------
    P. Shaw. *Using constraint programming and local search methods to solve vehicle routing problems.* CP 1998.
    """
    place = {tuple(group): number for number, group in enumerate(groups.tolist())}
    columns = chosen.size
    loss = np.array([-reduced[place[tuple(group)]] for group in chosen.tolist()])
    size = min(_FIRST, chosen.shape[0])
    failures = 0
    while failures < _PATIENCE and not stop():
        weights = np.maximum(loss, 0.0) + loss.mean() + 1e-12
        picked = np.sort(rng.choice(chosen.shape[0], size, replace=False, p=weights / weights.sum()))
        inside = np.zeros(columns, np.bool_)
        inside[chosen[picked]] = True
        near = np.flatnonzero(reduced >= -loss[picked].sum() * (1.0 + TOLERANCE))
        near = near[inside[groups[near]].all(axis=1)]
        renamed = np.cumsum(inside) - 1
        search = Branching(
            int(inside.sum()), float(-loss[picked].sum()) + _BETTER, stop, seconds, most_nodes=_MOST_NODES
        )
        search.run(renamed[groups[near]], reduced[near])
        if search.chosen is not None:
            failures = 0
            found = np.flatnonzero(inside)[search.chosen]
            chosen = np.concatenate([np.delete(chosen, picked, axis=0), found])
            loss = np.concatenate(
                [np.delete(loss, picked), [-reduced[place[tuple(group)]] for group in found.tolist()]]
            )
        else:
            failures += 1
        if search.nodes >= _MOST_NODES:
            size = max(2, size - 1)
        elif search.nodes < _QUICK_NODES:
            size = min(size + 1, chosen.shape[0])
    return chosen
