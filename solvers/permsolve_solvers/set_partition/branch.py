"""Branch and bound on pairs of columns, over a list of groups, that leaves a proof behind."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from permsolve.certificate import Node
from permsolve_solvers.set_partition.cuts import separate, together_shares
from permsolve_solvers.set_partition.lp import Groups, LpSolution, OddSet, PartitionLp, Values, coefficients

Mask = NDArray[np.bool_]

# A part of the search ends when its bound is above the best value by less than this share of it.
TOLERANCE = 1e-10
_FRACTION = 1e-6
_CUT_ROUNDS = 6
_CUT_DEPTH = 4
_CUTS = 30
# Candidate pairs that are tried before branching, near the root and below, and simplex iterations for each side.
_CANDIDATES = (8, 3)
_DEEP = 8
_GLANCE = 30
# A node whose groups are fewer than this share of its programme's gets a programme of its own.
_SHRINK = 0.5


@dataclass(eq=False)
class Branching:
    """Depth-first branch and bound for ``max sum_S f(S) x_S``, every column in exactly one group.

    Each node solves the linear programme with subset-row cuts, switches off the groups that cannot be in a better
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
    chosen: Groups | None = None
    open_bound: float = -np.inf
    nodes: int = field(default=0, init=False)

    def run(self, groups: Groups, values: Values, bound: float) -> list[Node]:
        """Search the partitions made of ``groups``, all of value at most ``bound``; the proof, in preorder."""
        return self._explore(_Part(groups, values, self.columns), np.ones(groups.shape[0], np.bool_), bound, 0)

    @property
    def cutoff(self) -> float:
        """Bounds up to here close a part."""
        return self.best + TOLERANCE * abs(self.best) if np.isfinite(self.best) else -np.inf

    def _explore(self, part: "_Part", active: Mask, bound: float, depth: int) -> list[Node]:
        proof: list[Node] = []
        rounds = _CUT_ROUNDS if depth < _CUT_DEPTH else 1
        while True:
            rounds -= 1
            solution = None if self.stop() else part.solve(active, self.seconds())
            if solution is None:
                self.open_bound = max(self.open_bound, bound)
                return [*proof, Node(np.empty(0))]
            self.nodes += 1
            reduced = part.reduced_costs(solution)
            here = part.bound(solution, reduced[active])
            bound = min(bound, here)
            self._round(part, solution.x)
            node = part.node(solution)
            if bound <= self.cutoff:
                return [*proof, Node(*node)]
            left = active & (reduced >= self.best - here)
            if left.sum() < active.sum():
                proof.append(Node(*node, children=1))
                active = left
            cuts = separate(part.groups, solution.x, self.columns, _CUTS)
            if not cuts or not rounds:
                break
            part.cut(cuts)
        if active.sum() < _SHRINK * active.shape[0]:
            part, active, solution = part.shrunk(active, solution)
        pair = self._choose(part, solution.x, active, depth)
        if pair is None:  # integral up to rounding, yet not closed: only when the programme was not solved well
            self.open_bound = max(self.open_bound, bound)
            return [*proof, Node(*node)]
        proof.append(Node(*node, children=2, pair=pair))
        for side in part.sides(pair):
            proof += self._explore(part, active & side, bound, depth + 1)
        return proof

    def _round(self, part: "_Part", x: Values) -> None:
        """Keep the solution when it is integral and better."""
        picked = np.flatnonzero(x > 0.5)
        groups = part.groups[picked]
        if groups.size != self.columns or np.unique(groups).size != self.columns:
            return
        value = float(part.values[picked].sum())
        if value > self.best:
            self.best = value
            self.chosen = groups

    def _choose(self, part: "_Part", x: Values, active: Mask, depth: int) -> tuple[int, int] | None:
        """The pair whose two sides both lower the bound the most, among the most fractional ones."""
        shares = np.triu(together_shares(part.groups, x, self.columns), 1)
        balance = np.minimum(shares, 1.0 - shares).ravel()
        candidates = np.argsort(-balance, kind="stable")[: _CANDIDATES[depth >= _DEEP]]
        candidates = candidates[balance[candidates] > _FRACTION]
        best: tuple[int, int] | None = None
        best_score = -1.0
        for candidate in candidates:
            i, j = divmod(int(candidate), self.columns)
            drops = [part.drop(active & side, self.best) for side in part.sides((i, j))]
            score = max(drops[0], 1e-9) * max(drops[1], 1e-9)
            if score > best_score:
                best, best_score = (i, j), score
        return best


@dataclass(eq=False)
class _Part:
    """Groups with their linear programme."""

    groups: Groups
    values: Values
    columns: int
    lp: PartitionLp = field(init=False)
    held: list[Values] = field(default_factory=list, init=False)
    last: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.lp = PartitionLp(self.groups, self.values, self.columns)

    def solve(self, active: Mask, seconds: float) -> LpSolution | None:
        self.lp.restrict(active)
        solution = self.lp.solve(seconds)
        if solution is not None:
            self.last = solution.value
        return solution

    def cut(self, odd_sets: list[OddSet]) -> None:
        self.lp.cut(odd_sets)
        self.held += [coefficients(self.groups, odd_set, self.columns) for odd_set in odd_sets]

    def reduced_costs(self, solution: LpSolution) -> Values:
        reduced: Values = self.values - solution.duals[self.groups].sum(axis=1)
        for weight, held in zip(solution.weights, self.held, strict=True):
            if weight > 0.0:
                reduced -= weight * held
        return reduced

    def bound(self, solution: LpSolution, reduced: Values) -> float:
        """What no partition of the groups with these reduced costs exceeds."""
        sides = np.array([len(odd_set) // 2 for odd_set in self.lp.odd_sets], np.float64)
        count = self.columns // self.groups.shape[1]
        largest = float(reduced.max(initial=0.0))
        total = float(solution.duals.sum()) + float((sides * solution.weights).sum())
        return float(total + count * largest)

    def node(self, solution: LpSolution) -> tuple[Values, tuple[OddSet, ...], Values]:
        used = np.flatnonzero(solution.weights > 0.0)
        return solution.duals, tuple(self.lp.odd_sets[k] for k in used), solution.weights[used]

    def shrunk(self, active: Mask, solution: LpSolution) -> tuple["_Part", Mask, LpSolution]:
        """The same with the active groups only and the cuts that matter, solved again."""
        smaller = _Part(self.groups[active], self.values[active], self.columns)
        smaller.cut([odd_set for odd_set, w in zip(self.lp.odd_sets, solution.weights, strict=True) if w > 0.0])
        everything = np.ones(smaller.groups.shape[0], np.bool_)
        again = smaller.solve(everything, np.inf)
        return (smaller, everything, again) if again is not None else (self, active, solution)

    def sides(self, pair: tuple[int, int]) -> tuple[Mask, Mask]:
        """Which groups agree with the pair being together, and with its being apart."""
        one = (self.groups == pair[0]).any(axis=1)
        other = (self.groups == pair[1]).any(axis=1)
        return one == other, ~(one & other)

    def drop(self, active: Mask, best: float) -> float:
        """By how much a side lowers the objective, as far as that matters."""
        self.lp.restrict(active)
        lost = self.last - self.lp.glance(_GLANCE)
        return float(np.clip(lost, 0.0, self.last - best))
