"""How much memory this process may still take."""

import math
import os
from pathlib import Path

# Where Linux tells what is free, and the limits of the group of processes that a container is (versions 2 and 1): the
# limit, what is taken, and where it says how much of that are copies of files, which make room.
_MACHINE = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_GROUP = Path("/sys/fs/cgroup")
_GROUPS = (
    (_GROUP / "memory.max", _GROUP / "memory.current", _GROUP / "memory.stat", "inactive_file"),
    (
        _GROUP / "memory/memory.limit_in_bytes",
        _GROUP / "memory/memory.usage_in_bytes",
        _GROUP / "memory/memory.stat",
        "total_inactive_file",
    ),
)
_KIB = 1024


def available_memory() -> float:
    """Bytes that this process may still take, as far as the system tells; infinite where it tells nothing.

    The least of what the machine has free, what its group of processes may take, and what the limits of its own leave:
    beyond the first two a process is ended without a word, beyond the others Python raises MemoryError.
    """
    left = [_field(_MACHINE, "MemAvailable")]
    left += [
        _number(limit) - _number(taken, 0.0) + _field(statistics, name, 0.0)
        for limit, taken, statistics, name in _GROUPS
    ]
    left += _left_by_limits()
    return max(0.0, min(left))


def require_memory(what: str, size: float) -> None:
    """Refuse work that takes more memory than there is, before it begins.

    Raises
    ------
    MemoryError
        When so many bytes are more than :func:`available_memory`, saying what for.
    """
    free = available_memory()
    if size > free:
        raise MemoryError(f"{what} would take {size / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free")


def _left_by_limits() -> list[float]:
    if os.name != "posix":
        return []
    import resource

    return [
        limit - _field(_STATUS, taken, 0.0)
        for kind, taken in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData"))
        if (limit := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY
    ]


def _field(file: Path, name: str, missing: float = math.inf) -> float:
    """A number of a file with lines such as ``VmSize:  1234 kB`` or ``inactive_file 5678``, in bytes."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return missing
    values = (
        float(line[1]) * (_KIB if line[-1] == "kB" else 1) for line in lines if line[:1] in ([f"{name}:"], [name])
    )
    return next(values, missing)


def _number(file: Path, missing: float = math.inf) -> float:
    """The number that a file holds; missing where it does not exist or says ``max``."""
    try:
        return float(file.read_text())
    except (OSError, ValueError):
        return missing
