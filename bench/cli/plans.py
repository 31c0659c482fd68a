"""``python -m bench plans``."""

from rich.box import SIMPLE
from rich.table import Table

from bench.cli.failing import failing
from bench.cli.parameters import Cache, share_cache
from bench.instances import UnknownInstanceError
from bench.plans import PLANS, SOLVE, Settings, Share
from permsolve.cli.console import console


def plans(cache: Cache = None) -> None:
    """Show the plans, how many measurements each makes and how much time they may take one after the other."""
    share_cache(cache)
    table = Table("plan", "what it is for", box=SIMPLE, pad_edge=False, show_edge=False)
    for heading in ("tasks", "instances", "at most"):
        table.add_column(heading, justify="right", no_wrap=True)
    with failing():
        for plan in PLANS.values():
            try:
                tasks = {task.key: task for task in plan.tasks(Settings())}.values()
            except UnknownInstanceError:
                table.add_row(plan.name, plan.about, "", "", "")  # it has only what the user names
                continue
            seconds = sum(0.0 if isinstance(task.time_limit, Share) else task.time_limit for task in tasks)
            names = {task.instance for task in tasks if task.kind == SOLVE}
            table.add_row(plan.name, plan.about, str(len(tasks)), str(len(names)), f"{seconds / 60.0:.0f} min")
    console().print(table)
