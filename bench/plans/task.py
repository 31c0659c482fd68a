"""One measurement of a plan: which solver, on what, for how long."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

SOLVE, KERNEL = "solve", "kernel"
# What tasks of kind KERNEL measure, and what the saliency is held in.
IN_BYTES = "exchange in bytes"
KERNELS: Mapping[str, str] = MappingProxyType({"exchange": "float32", IN_BYTES: "bytes"})


@dataclass(frozen=True, slots=True)
class Share:
    """A time limit that is known only when another task of the plan has run: a share of the time that it took.

    Attributes
    ----------
    of : str
        Key of the other task.
    factor : float
        The share.
    least : float
        Seconds granted in any case.
    """

    of: str
    factor: float
    least: float = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """The permutation that another task of the plan finds: known only when it has run.

    Attributes
    ----------
    by : str
        Key of the other task.
    """

    by: str


@dataclass(frozen=True, slots=True)
class Task:
    """One measurement; it travels to other processes and machines as plain JSON values.

    Attributes
    ----------
    instance : str
        Whole name of the instance.
    solver : str
        Name of a solver; what is measured, for a task of kind ``kernel``.
    time_limit : float or Share
        Seconds that the solver is granted.
    options : mapping of str to Any
        Options of the solver.
    seed, workers : int
        What it runs with.
    initial : str or Found
        Permutation that the solver starts from, as rows hold it (:func:`bench.runner.unpack_permutation`); empty for
        the given order.
    label : str
        What tables call it; the solver's name when empty.
    kind : str
        ``"solve"``, or ``"kernel"``: the speed of a kernel beside the machine's limit.
    file : str
        The user's own file that the instance comes from, empty for one that has a name of its own.
    stamp : str
        Size and date of that file: a changed file is another task.
    target : str
        Where a solver comes from that is not registered, ``"module:Class"``.
    """

    instance: str
    solver: str
    time_limit: float | Share
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    workers: int = 1
    initial: str | Found = ""
    label: str = ""
    kind: str = SOLVE
    file: str = ""
    stamp: str = ""
    target: str = ""

    @property
    def key(self) -> str:
        """What tells this task from every other: tasks of equal key are the same measurement."""
        document = asdict(self)
        for irrelevant in ("label", "file", "target"):
            del document[irrelevant]
        if not self.initial:  # a cold start has the key that it had before there were others
            del document["initial"]
        text = json.dumps(document, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.label or self.solver

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of the tasks that must have run before this one."""
        limit = (self.time_limit.of,) if isinstance(self.time_limit, Share) else ()
        return limit + ((self.initial.by,) if isinstance(self.initial, Found) else ())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Task":
        """What :meth:`to_dict` gave."""
        limit, initial = document["time_limit"], document["initial"]
        later = {
            "time_limit": Share(**limit) if isinstance(limit, Mapping) else limit,
            "initial": Found(**initial) if isinstance(initial, Mapping) else initial,
        }
        return cls(**{**document, **later})
