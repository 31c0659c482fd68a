"""What a plan is, and what a user may change of one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.instances import Instance, get_instance
from bench.plans.task import KERNEL, KERNELS, Task
from permsolve import available_solvers

# What the micro-benchmark of a plan measures.
KERNEL_SHAPES = ("uniform-128x64@1", "uniform-512x512@1", "uniform-1024x1024@1", "uniform-512x512@1+4:8")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asks for instead of what the plan says; None and empty leave the plan as it is.

    Attributes
    ----------
    instances : sequence of Instance
        Instead of the plan's own.
    solvers : sequence of str
        Instead of the plan's own.
    added : sequence of str
        Solvers beside the plan's own.
    seeds : int, optional
        How many seeds of each solver.
    time_limit : float, optional
        Seconds for each task.
    workers : int, optional
        Threads of each solver.
    pattern : str, optional
        Pattern of the plan's instances.
    cache : Path, optional
        Folder of trained networks.
    full : bool
        The whole grid, where the plan is a part of one.
    """

    instances: Sequence[Instance] = ()
    solvers: Sequence[str] = ()
    added: Sequence[str] = ()
    seeds: int | None = None
    time_limit: float | None = None
    workers: int | None = None
    pattern: str | None = None
    cache: Path | None = None
    full: bool = False

    def chosen_solvers(self, default: Sequence[str]) -> list[str]:
        """The solvers to run: the user's, or the plan's and those that the user adds."""
        return list(dict.fromkeys([*(self.solvers or default), *self.added]))

    def chosen_instances(self, names: Sequence[str]) -> list[Instance]:
        """The instances to run on: the user's, or the plan's."""
        return list(self.instances) or [get_instance(name, self.pattern, self.cache) for name in names]


@dataclass(frozen=True, slots=True)
class Plan:
    """A named list of measurements.

    Attributes
    ----------
    name, about : str
        Its name, and what it is for, in one line.
    tasks : callable
        Makes its tasks, one by one.
    verify_work : int
        Group entries that the check of one certificate may look at (see :func:`permsolve.verify`); larger proofs
        are sampled, and their rows say so.
    """

    name: str
    about: str
    tasks: Callable[[Settings], Iterator[Task]]
    verify_work: int = 10**8


@dataclass(frozen=True, slots=True)
class Grid:
    """The tasks of a plan that is a plain product: instances x solvers x seeds.

    Attributes
    ----------
    instances : sequence of str
        Their names.
    budget : callable
        From an instance to the seconds granted on it.
    solvers : sequence of str, optional
        All that are registered when not given.
    seeds : int
        How many of each solver.
    workers : int
        Threads of each solver.
    kernels : bool
        Whether the speed of the kernels is measured, too.
    """

    instances: Sequence[str]
    budget: Callable[[Instance], float]
    solvers: Sequence[str] = field(default_factory=available_solvers)
    seeds: int = 1
    workers: int = 2
    kernels: bool = False

    def tasks(self, settings: Settings) -> Iterator[Task]:
        """Instance by instance, so that what belongs together is there early."""
        if self.kernels and not settings.instances:
            yield from kernel_tasks()
        for instance in settings.chosen_instances(self.instances):
            for solver in settings.chosen_solvers(self.solvers):
                for seed in range(self.seeds if settings.seeds is None else settings.seeds):
                    yield task_of(
                        instance,
                        solver,
                        settings.time_limit or self.budget(instance),
                        seed=seed,
                        workers=settings.workers or self.workers,
                    )


def task_of(instance: Instance, solver: str, time_limit: float, *, seed: int = 0, workers: int = 1) -> Task:
    """The task of one solver on one instance."""
    return Task(
        instance.name, solver, time_limit, seed=seed, workers=workers, file=instance.source, stamp=instance.stamp
    )


def kernel_tasks() -> Iterator[Task]:
    """The exchange kernels at some sizes."""
    for shape in KERNEL_SHAPES:
        for kernel in KERNELS:
            yield Task(shape, kernel, 0.0, kind=KERNEL)
