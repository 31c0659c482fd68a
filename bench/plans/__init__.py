"""Plans: named lists of measurements, each a generator of tasks."""

from bench.plans.plan import Plan, Settings
from bench.plans.registry import PLANS, get_plan
from bench.plans.task import IN_BYTES, KERNEL, KERNELS, SOLVE, Found, Share, Task

__all__ = [
    "IN_BYTES",
    "KERNEL",
    "KERNELS",
    "PLANS",
    "SOLVE",
    "Found",
    "Plan",
    "Settings",
    "Share",
    "Task",
    "get_plan",
]
