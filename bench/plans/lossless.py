"""``lossless``: how sparse must a matrix be for a permutation to make it N:M without dropping a nonzero?

Pool & Yu 2021, figure 4: the smallest weights of the whole matrix are set to zero, more and more of them, until a
solver finds a permutation that keeps all the others.
"""

from collections.abc import Iterator
from dataclasses import replace

from bench.instances import pruned
from bench.plans.plan import Grid, Settings
from bench.plans.task import Task

MATRICES = ("uniform-32x16@1", "uniform-64x32@1", "uniform-64x64@1", "uniform-128x64@1", "digits")
SOLVERS = ("assignment", "auto", "channel-swap", "local-search", "stripe-groups")
SECONDS = 3.0
PERCENTS, FULL_PERCENTS = range(55, 96, 5), range(50, 100, 1)


def tasks(settings: Settings) -> Iterator[Task]:
    """Steps of 5 % of zeros, three seconds each; ``full``: of 1 %. What is found ends the search early."""
    percents = FULL_PERCENTS if settings.full else PERCENTS
    matrices = settings.chosen_instances(MATRICES)
    sparser = [pruned(matrix, percent / 100.0) for matrix in matrices for percent in percents]
    yield from Grid((), lambda instance: SECONDS, SOLVERS).tasks(replace(settings, instances=sparser))
