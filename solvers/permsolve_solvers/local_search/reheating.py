"""Reheating a local optimum by assignment moves, again and again."""

import math
from collections.abc import Iterator

from permsolve.permutation import from_groups
from permsolve.problem import Problem
from permsolve.run import Run
from permsolve_solvers.local_search.batched import BatchedDescent
from permsolve_solvers.moves.assignment import AssignmentMoves
from permsolve_solvers.moves.cooling import COLD, Cooling, temperature

# A cycle begins less hot than one from scratch. The first has so many moves, each later one GROWTH times as many
# (measured: 0.05 to 0.065, 64 to 256, 1 to 1.5 within the spread of each other).
WARM = 0.065
CYCLE = 64
GROWTH = 1.5


def reheat(problem: Problem, run: Run, moves: AssignmentMoves, swaps: BatchedDescent | None = None) -> None:
    """Anneal what the moves have reached from a warm start; keep what gained, else put back what was before.

    Every cycle ends with moves without noise, and with swaps where there is what does them. One iteration is one move.
    """
    cooling = Cooling(problem, run, moves)
    best, kept = moves.groups.copy(), float(moves.values.sum())
    length = float(CYCLE)
    while not run.should_stop():
        for level in _cycle(run, math.ceil(length)):
            cooling.move(level)
            if run.should_stop(iterations=1):
                break
        if swaps is not None:
            moves.reset(swaps.descended(moves.groups, run))
        value = float(moves.values.sum())
        if value > kept:
            best, kept = moves.groups.copy(), value
            run.offer(from_groups(best, problem.columns))
        else:
            moves.reset(best)
        length *= GROWTH


def _cycle(run: Run, length: int) -> Iterator[float]:
    """Temperatures of a cycle of so many moves, or fewer: it is over when the time is."""
    begun, left = run.elapsed, run.remaining
    for number in range(length):
        share = number / length
        if run.timed:
            share = min(1.0, max(share, (run.elapsed - begun) / max(left, 1e-9)))
        yield temperature(share, WARM, COLD)
