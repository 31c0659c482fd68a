"""Subset-row cuts: at most one group holds two or more of any three columns.

M. Jepsen, B. Petersen, S. Spoorendonk, D. Pisinger. *Subset-row inequalities applied to the vehicle-routing problem
with time windows.* Operations Research 56(2), 2008. doi:10.1287/opre.1070.0449
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from permsolve_solvers.set_partition._kernels import violated_triples
from permsolve_solvers.set_partition.lp import Groups, Triple, Values

_ROOM = 4096
_NOTHING = 1e-9


def together_shares(groups: Groups, x: Values, columns: int) -> Values:
    """Share of the groups that hold both columns of every pair; symmetric, zero diagonal."""
    used = np.flatnonzero(x > _NOTHING)
    shares = np.zeros((columns, columns))
    for i, j in combinations(range(groups.shape[1]), 2):
        np.add.at(shares, (groups[used, i], groups[used, j]), x[used])
    return shares + shares.T


def separate(groups: Groups, x: Values, columns: int, most: int, least: float = 0.05) -> list[Triple]:
    """Up to ``most`` cuts that ``x`` violates by at least ``least``, the most violated first.

    Parameters
    ----------
    groups : ndarray of int64, shape (K, M)
        Columns ascending in each group.
    x : ndarray of float64, shape (K,)
        Shares of a fractional solution.
    """
    used = np.flatnonzero(x > _NOTHING)
    held = groups[used]
    numbers: list[NDArray[np.int64]] = []
    for i, j, k in combinations(range(groups.shape[1]), 3):
        numbers.append((held[:, i] * columns + held[:, j]) * columns + held[:, k])
    triples = np.concatenate(numbers) if numbers else np.empty(0, np.int64)
    shares = np.tile(x[used], len(numbers))
    order = np.argsort(triples, kind="stable")
    found = np.empty((_ROOM, 3), np.int64)
    excess = np.empty(_ROOM)
    count = violated_triples(together_shares(groups, x, columns), triples[order], shares[order], least, found, excess)
    best = np.argsort(-excess[:count], kind="stable")[:most]
    return [(int(a), int(b), int(c)) for a, b, c in found[best]]
