"""Between which temperatures to anneal, read from the state of a chain."""

import math
from dataclasses import dataclass

import numpy as np

from permsolve_solvers.annealing.chain import Chain

# Mobility of a local optimum at the temperature that anchors the range: there three steps in ten would be accepted.
ANCHOR_MOBILITY = 0.3
# A run with time for no more than FEW swaps per column starts at SHORT_HOT last temperatures, one with time for MANY
# where ``hot`` says, others between (measured).
FEW = 5.0
MANY = 50.0
SHORT_HOT = 1.3
# Steps of the bisection for it once a factor of 2 is left, and how far, as a power of 2, it may lie below the spread.
BISECTIONS = 5
LOWEST = -30.0


@dataclass(frozen=True, slots=True)
class Range:
    """First and last temperature of a cycle."""

    hot: float
    cold: float

    def at(self, share: float) -> float:
        """The temperature after a share of the cycle, falling geometrically."""
        return float(self.hot * (self.cold / self.hot) ** share)


def anchor(chain: Chain, spread: float, mobility: float = ANCHOR_MOBILITY) -> float:
    """The temperature at which the current groups have this mobility.

    Columns count by what they hold: a few that are nearly empty change places at any temperature, and would take the
    range down to where all the others have long been frozen.

    Parameters
    ----------
    chain : Chain
        At a local optimum: elsewhere swaps that gain raise the mobility at any temperature.
    spread : float
        Interquartile range of what a random swap changes; the answer is at most this.
    mobility : float
        Swaps per step of Metropolis' rule, > 0.
    """
    weights = chain.state.x[: chain.state.real].sum(axis=1, dtype=np.float32)
    if not weights.any():
        return spread
    low = 0.0
    while low > LOWEST and chain.mobility(spread * 2.0**low, weights) > mobility:
        low -= 1.0
    high = min(low + 1.0, 0.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if chain.mobility(spread * 2.0**middle, weights) > mobility:
            high = middle
        else:
            low = middle
    return float(spread * np.exp2(low))


def calibrate(chain: Chain, hot: float, cold: float, *, share: float = 1.0, swaps: float = math.inf) -> Range:
    """The range for a chain that stands at a local optimum.

    On data of one scale the interquartile range and the anchor are in a fixed ratio, whatever the size (measured);
    where columns or rows of many scales meet, the anchor is lower, and the range has to reach down to it. What is
    molten at its start has to be put in order again, for which a short run lacks the time: it starts lower.

    Parameters
    ----------
    chain : Chain
        At a local optimum.
    hot : float
        First temperature, in units of the interquartile range of what a random swap changes.
    cold : float
        Last temperature, in units of the anchor.
    share : float
        Share of the problem's columns that the chain has.
    swaps : float
        Swaps per column for which there is time.
    """
    spread = chain.state.spread(np.random.default_rng(0))
    last = cold * anchor(chain, spread, ANCHOR_MOBILITY * share)
    first = hot * spread
    low = min(first, SHORT_HOT * last)
    patience = min(1.0, max(0.0, math.log(max(swaps, FEW) / FEW) / math.log(MANY / FEW)))
    return Range(low * (first / low) ** patience, last)
