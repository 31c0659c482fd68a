"""Branch and bound on pairs of columns, over a list of groups, that leaves a proof behind."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from permsolve.certificate import Node
from permsolve.cores import Threads
from permsolve_solvers.set_partition.cuts import separate, together_shares
from permsolve_solvers.set_partition.lp import Groups, Values
from permsolve_solvers.set_partition.pool import Mask, Pool, PoolSolution

# A part of the search ends when its bound is above the best value by less than this share of it.
TOLERANCE = 1e-10
_FRACTION = 1e-6
# Rounds of cuts at the root, near it, and below; how many cuts each.
_ROOT_ROUNDS = 60
_NEAR_ROUNDS = 6
_NEAR = 4
_CUTS = 60
# Cutting at the root ends when so many rounds together lower the bound by less than this share of its distance to the
# best value.
_STALLED_ROUNDS = 4
_STALLED = 0.05
# Candidate pairs that are tried before branching, near the root and below, and simplex iterations for each side.
_CANDIDATES = (20, 8)
_DEEP = 8
_GLANCE = 30
# A part whose groups are fewer than this share of its pool's gets a pool of its own.
_SHRINK = 0.5
# A step that only leaves groups out is kept in the proof when it leaves at most this share of them.
_WORTH_A_STEP = 0.9
# A part of fewer groups is not worth handing to another thread.
_SHARED = 300
# Groups and nodes of a partial search for a better value.
_PROMISING = 6000
_PARTIAL_NODES = 500


@dataclass(eq=False)
class Branching:
    """Depth-first branch and bound for ``max sum_S f(S) x_S``, every column in exactly one group.

    Each node solves the linear programme with subset-row cuts, leaves out the groups that cannot be in a better
    solution by their reduced cost, and branches on a pair of columns, together or apart (Ryan & Foster 1981), chosen by
    strong branching. Bounds are recomputed in float64 from the duals, so they hold whatever the programme's tolerances.

    Parameters
    ----------
    columns : int
        Number of columns to partition.
    best : float
        Value to beat.
    stop : callable
        Asked once per node; the search ends when it says so.
    seconds : callable
        Seconds left, for the linear programmes.
    most : int, optional
        Most groups that are branched on. With more left after the cuts at the root, only the most promising are
        searched, for a better value, before the search ends.
    most_nodes : int, optional
        The search ends after so many nodes.
    workers : int, default 1
        Threads that share the tree. With more than one, which nodes are looked at depends on their timing.

    Attributes
    ----------
    chosen : ndarray of int64, shape (G, M), or None
        The groups of the best solution found, when one beats the value given.
    open_bound : float
        Largest bound of the parts left open, -inf when there are none.
    """

    columns: int
    best: float
    stop: Callable[[], bool]
    seconds: Callable[[], float]
    most: float = np.inf
    most_nodes: float = np.inf
    workers: int = 1
    chosen: Groups | None = field(default=None, init=False)
    open_bound: float = field(default=-np.inf, init=False)
    nodes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = threading.Semaphore(self.workers - 1)

    def run(self, groups: Groups, values: Values, bound: float = np.inf) -> list[Node]:
        """Search the partitions made of ``groups``, all of value at most ``bound``; the proof, in preorder."""
        with Threads(max(1, self.workers - 1)) as self._threads:
            return self._explore(Pool(groups, values, self.columns), np.ones(groups.shape[0], np.bool_), bound, 0)

    @property
    def cutoff(self) -> float:
        """Bounds up to here close a part."""
        return self.best + TOLERANCE * abs(self.best) if np.isfinite(self.best) else -np.inf

    def _explore(self, pool: Pool, active: Mask, bound: float, depth: int) -> list[Node]:
        proof: list[Node] = []
        rounds = _NEAR_ROUNDS if 0 < depth < _NEAR else 1 if depth else _ROOT_ROUNDS
        reached: list[float] = []
        while True:
            over = self.nodes >= self.most_nodes or self.stop()
            solution = None if over else pool.solve(active, self.seconds, self.cutoff)
            if solution is None:
                self._leave_open(bound)
                return [*proof, Node(np.empty(0))]
            self.nodes += 1
            bound = min(bound, solution.bound)
            self._round(pool, solution)
            node = Node(solution.duals, solution.triples, solution.weights, 0, None, solution.excess, solution.bound)
            if bound <= self.cutoff:
                return [*proof, node]
            left = active & (solution.reduced >= self.best - solution.bound)
            cuts = separate(pool.groups[solution.numbers], solution.x, self.columns, _CUTS)
            reached.append(solution.bound)
            if len(cuts) == 0 or len(reached) >= rounds or self._stalled(reached):
                break
            if left.sum() <= _WORTH_A_STEP * active.sum():
                proof.append(replace(node, children=1))
                active = left
                if active.sum() < _SHRINK * len(pool):
                    pool = pool.shrunk(active, solution)
                    active = np.ones(len(pool), np.bool_)
            pool.cut(cuts)
        if depth == 0 and left.sum() > self.most:
            if not self._promising(pool, left, solution):
                self._leave_open(bound)
                return [*proof, node]
            return [*proof, replace(node, children=1), *self._explore(pool, left, bound, depth)]
        pair = self._choose(pool, solution, left, depth)
        if pair is None:  # integral up to rounding, yet not closed: only when the programme was not solved well
            self._leave_open(bound)
            return [*proof, node]
        proof.append(replace(node, children=2, pair=pair))
        if left.sum() < _SHRINK * len(pool):
            pool = pool.shrunk(left, solution)
            left = np.ones(len(pool), np.bool_)
        together, apart = (left & side for side in pool.sides(pair))
        if len(pool) >= _SHARED and self._idle.acquire(blocking=False):
            elsewhere = self._threads.submit(self._aside, pool.shrunk(together, solution), bound, depth + 1)
            here = self._explore(pool, apart, bound, depth + 1)
            return [*proof, *elsewhere.result(), *here]
        for side in (together, apart):
            proof += self._explore(pool, side, bound, depth + 1)
        return proof

    def _aside(self, pool: Pool, bound: float, depth: int) -> list[Node]:
        """A part of the tree, in another thread."""
        try:
            return self._explore(pool, np.ones(len(pool), np.bool_), bound, depth)
        finally:
            self._idle.release()

    def _leave_open(self, bound: float) -> None:
        with self._lock:
            self.open_bound = max(self.open_bound, bound)

    def _stalled(self, reached: list[float]) -> bool:
        """Whether the last rounds of cuts were not worth it."""
        if len(reached) <= _STALLED_ROUNDS:
            return False
        return reached[-1 - _STALLED_ROUNDS] - reached[-1] < _STALLED * (reached[-1] - self.best)

    def _round(self, pool: Pool, solution: PoolSolution) -> None:
        """Keep the solution when it is integral and better."""
        picked = solution.numbers[solution.x > 0.5]
        groups = pool.groups[picked]
        if groups.size != self.columns or np.unique(groups).size != self.columns:
            return
        value = float(pool.values[picked].sum())
        with self._lock:
            if value > self.best:
                self.best = value
                self.chosen = groups

    def _promising(self, pool: Pool, active: Mask, solution: PoolSolution) -> bool:
        """Look for a better value among the groups of largest reduced cost; whether there is one."""
        numbers = np.flatnonzero(active)
        numbers = np.sort(numbers[np.argsort(-solution.reduced[numbers], kind="stable")[:_PROMISING]])
        partial = Branching(self.columns, self.best, self.stop, self.seconds, most_nodes=_PARTIAL_NODES)
        partial.run(pool.groups[numbers], pool.values[numbers])
        self.nodes += partial.nodes
        if partial.chosen is None:
            return False
        self.best, self.chosen = partial.best, partial.chosen
        return True

    def _choose(self, pool: Pool, solution: PoolSolution, active: Mask, depth: int) -> tuple[int, int] | None:
        """The pair whose two sides both lower the bound the most, among the most fractional ones."""
        shares = np.triu(together_shares(pool.groups[solution.numbers], solution.x, self.columns), 1)
        balance = np.minimum(shares, 1.0 - shares).ravel()
        candidates = np.argsort(-balance, kind="stable")[: _CANDIDATES[depth >= _DEEP]]
        candidates = candidates[balance[candidates] > _FRACTION]
        best: tuple[int, int] | None = None
        best_score = -1.0
        room = solution.bound - self.best
        for candidate in candidates:
            if best is not None and self.stop():
                break
            pair = divmod(int(candidate), self.columns)
            drops = [
                float(np.clip(solution.bound - pool.glance(active & side, _GLANCE), 0.0, room))
                for side in pool.sides(pair)
            ]
            score = max(drops[0], 1e-9) * max(drops[1], 1e-9)
            if score > best_score:
                best, best_score = pair, score
        return best
