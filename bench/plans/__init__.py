"""Plans: named lists of measurements, each a generator of tasks."""

from bench.plans.plan import Plan, Settings
from bench.plans.registry import PLANS, get_plan
from bench.plans.task import KERNEL, SOLVE, Share, Task

__all__ = ["KERNEL", "PLANS", "SOLVE", "Plan", "Settings", "Share", "Task", "get_plan"]
