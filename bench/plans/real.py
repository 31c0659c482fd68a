"""``real``: ``auto`` against the published search on weights of trained networks."""

from collections.abc import Iterator
from dataclasses import replace

from bench.instances import SETS
from bench.instances.trained import is_at_hand
from bench.plans.plan import Settings, task_of
from bench.plans.task import Share, Task

PUBLISHED, ESCAPES, CAP = "stripe-groups", 1000, 60.0
WORKERS = 2
# Of the time that the published search took.
SHARES = {"auto, a tenth": 0.1, "auto, same time": 1.0}


def tasks(settings: Settings) -> Iterator[Task]:
    """The published search with escapes, to its end or a cap; then ``auto`` in a tenth of its time, and in all of it.

    Networks that were not trained are left out, and so are layers too narrow to have something to choose.
    """
    names = [name for name in SETS["real"] if is_at_hand(name, settings.cache)]
    for instance in settings.chosen_instances(names):
        if instance.columns < 2 * instance.pattern.m:
            continue
        for seed in range(settings.seeds or 1):
            published = replace(
                task_of(
                    instance,
                    PUBLISHED,
                    settings.time_limit or CAP,
                    seed=seed,
                    workers=settings.workers or WORKERS,
                ),
                options={"escapes": ESCAPES},
            )
            yield published
            for label, share in SHARES.items():
                limit = Share(published.key, share)
                yield replace(published, solver="auto", options={}, label=label, time_limit=limit)
