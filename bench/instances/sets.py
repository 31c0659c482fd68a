"""Named sets of instances."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bench.instances.errors import unknown
from bench.instances.instance import Instance
from bench.instances.registry import get_instance
from bench.instances.trained import trained_names
from permsolve import Pattern

# The patterns that hardware or papers use; every set is there for each.
PATTERNS = ("1:2", "1:4", "2:4", "4:8", "2:8")


def _published() -> list[str]:
    grid = [f"uniform-{shape}@{seed}" for shape in ("64x128", "32x16") for seed in range(25)]
    sizes = (32, 64, 128, 256)
    squares = [f"uniform-{rows}x{size}@1" for size in sizes for rows in (size, 2 * size)]
    names = [*grid, *squares, "uniform-2048x2048@1", "uniform-128x64@1"]
    return list(dict.fromkeys(names))  # 128 x 64 is 2n x n, too


_HARD = ("student", "lognormal", "lowrank", "scaled", "sparse50", "sparse60", "sparse70", "duplicates", "planted")

SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "published": tuple(_published()),
        "real": tuple(trained_names()),
        "hard": tuple(f"{family}-{shape}@1" for family in _HARD for shape in ("128x64", "256x256")),
        "lm": ("lm-4096x4096@1", "lm-4096x11008@1", "lm-100000x4096@1"),
    }
)


def instance_set(name: str, pattern: Pattern | str = "2:4", cache: Path | None = None) -> list[Instance]:
    """All instances of a set, with one pattern.

    Parameters
    ----------
    name : str
        One of :data:`SETS`.
    pattern : Pattern or str, default "2:4"
        Their pattern.
    cache : Path, optional
        Folder of trained networks, as for :func:`bench.instances.get_instance`.

    Raises
    ------
    UnknownInstanceError
        When there is no such set.
    """
    if name not in SETS:
        raise unknown("set of instances", name, SETS)
    return [get_instance(member, pattern, cache) for member in SETS[name]]
