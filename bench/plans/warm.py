"""``warm``: what the permutation of a weight is worth when the weight has changed a little, as it does in training."""

from collections.abc import Iterator
from dataclasses import replace

from bench.instances import noisy
from bench.plans.budgets import by_columns
from bench.plans.plan import Settings, task_of
from bench.plans.task import Found, Task

INSTANCES = ("uniform-128x64@1", "uniform-64x128@1", "uniform-256x256@1", "uniform-512x512@1", "digits")
SOLVERS = ("auto",)
# Standard deviation of the change, as a share of that of the weight.
NOISE = 0.01
SEEDS, FULL_SEEDS = 3, 10
WORKERS = 2
# Of the time of a cold start, what a warm one has.
SHARE, LABEL = 0.1, "warm start, a tenth"


def tasks(settings: Settings) -> Iterator[Task]:
    """The weight, the changed weight anew, and the changed weight from the first permutation in a tenth of the time.

    ``full``: ten seeds.
    """
    seeds = settings.seeds or (FULL_SEEDS if settings.full else SEEDS)
    for instance in settings.chosen_instances(INSTANCES):
        changed = noisy(instance, NOISE)
        seconds = settings.time_limit or by_columns(instance)
        for solver in settings.chosen_solvers(SOLVERS):
            for seed in range(seeds):
                first, cold = (
                    task_of(one, solver, seconds, seed=seed, workers=settings.workers or WORKERS)
                    for one in (instance, changed)
                )
                yield first
                yield cold
                yield replace(cold, time_limit=SHARE * seconds, initial=Found(first.key), label=f"{solver}, {LABEL}")
