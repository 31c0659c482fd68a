"""Halves of groups, re-matched."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from permsolve.cores import Threads
from permsolve.problem import Problem
from permsolve_solvers.matching import _kernels
from permsolve_solvers.matching.graph import edges_of, perfect_matching

Groups = NDArray[np.int64]

# Most groups in one matching (some 50 ms; its time grows with the cube), and most rows * pairs of halves scored for it
# (less than a second).
MAX_GROUPS = 256
MAX_WORK = 2e9
MIN_GROUPS = 16


@dataclass(eq=False)
class PairMoves:
    """Split groups at random into halves, put the halves together again in the best way.

    A maximum-weight perfect matching of the halves, in the graph that joins each to those with which it keeps most
    (and to its present partner, so that nothing is lost), finds the best exchange of halves among any number of groups.
    With odd M, larger halves are matched to smaller ones. Many groups are dealt at random into parts.

    Parameters
    ----------
    problem : Problem
        The problem.
    groups : ndarray of int64, shape (G, M)
        Groups to start from; changed in place. A short last group is left as it is.
    pool : Threads
        Runs the workers' tasks.
    workers : int
        Number of workers in the pool.
    rng : numpy.random.Generator
        Makes all random choices: the same, the same moves.
    partners : int
        Partners of each half in the graph.

    Attributes
    ----------
    parts : int
        Number of parts that the groups are dealt into; one move handles one part.
    """

    problem: Problem
    groups: Groups
    pool: Threads
    workers: int
    rng: np.random.Generator
    partners: int
    parts: int = field(init=False)

    def __post_init__(self) -> None:
        self._full = self.groups.shape[0] - (self.problem.padding > 0)
        affordable = int((MAX_WORK / 2 / self.problem.rows) ** 0.5)
        size = min(MAX_GROUPS, max(MIN_GROUPS, affordable))
        self.parts = -(-self._full // size)
        self._left: list[NDArray[np.int64]] = []

    def move(self) -> bool:
        """Re-match the halves of one part; whether its groups keep more than before, in float64."""
        if not self._left:
            order = self.rng.permutation(self._full)
            self._left = [order[part :: self.parts] for part in range(self.parts)]
        picked = self._left.pop()
        if picked.shape[0] < 2:
            return False
        halves = self._split(picked)
        count = picked.shape[0]
        partner = self._matched(halves)
        # Halves k and k + count were one group; each pair is taken up once, by its smaller number.
        one = np.flatnonzero(partner > np.arange(2 * count))
        new = np.hstack([halves[one], halves[partner[one]]])
        new = new[new >= 0].reshape(count, -1)
        before = self.problem.group_values(self.groups[picked]).sum()
        if not self.problem.group_values(new).sum() > before:
            return False
        self.groups[picked] = new
        return True

    def _split(self, picked: NDArray[np.int64]) -> Groups:
        """Random halves, shape (2 * len(picked), larger size): the smaller ones first, filled with -1."""
        m = self.problem.pattern.m
        mixed = self.rng.permuted(self.groups[picked], axis=1)
        small = np.full((picked.shape[0], m - m // 2), -1, np.int64)
        small[:, : m // 2] = mixed[:, : m // 2]
        return np.vstack([small, mixed[:, m // 2 :]])

    def _matched(self, halves: Groups) -> NDArray[np.int64]:
        size = halves.shape[0]
        weights = self._values(halves)
        apart = self.problem.pattern.m % 2 == 1
        allowed = ~np.eye(size, dtype=bool)
        if apart:
            allowed[: size // 2, : size // 2] = False
            allowed[size // 2 :, size // 2 :] = False
        # Heavy halves keep most with everyone: each half's partners are chosen by what exceeds the usual for them.
        usual = weights.sum(axis=0, where=allowed) / allowed.sum(axis=0)
        ranks = np.where(allowed, usual - weights, np.inf)
        count = min(self.partners, int(allowed[0].sum()))
        near = np.argpartition(ranks, count - 1, axis=1)[:, :count]
        present = np.roll(np.arange(size), size // 2)
        first, second = edges_of(near, present)
        return perfect_matching(size, first, second, weights[first, second])

    def _values(self, halves: Groups) -> NDArray[np.float64]:
        """What each two halves keep together, float32 sums of blocks of rows; the tiles are shared among workers."""
        size = halves.shape[0]
        pattern = self.problem.pattern
        levels = min(pattern.n, halves.shape[1])
        values = np.zeros((size, size))
        parts = max(1, min(self.workers, size // (4 * _kernels.TILE)))

        def compute(part: int) -> None:
            _kernels.pair_values(
                self.problem.working, halves, levels, pattern.n, pattern.m % 2 == 1, part, parts, values
            )

        others = [self.pool.submit(compute, part) for part in range(1, parts)]
        compute(0)
        for task in others:
            task.result()
        return values
