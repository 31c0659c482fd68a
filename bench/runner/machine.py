"""What a row says about where and by what it was made."""

import os
import platform
import resource
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from permsolve.cores import available_cores

_PROC = Path("/proc/self")
_REPOSITORY = Path(__file__).parents[2]
_CODE = ("permsolve", "solvers", "bench/**/*.py", "bench/*.py", "pyproject.toml")


@lru_cache(maxsize=1)
def machine() -> dict[str, str | int]:
    """Processor, cores that this process may use, memory in GiB, system."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu(),
        "cores": available_cores(),
        "memory": round(pages / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        facts = {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}
        family = (
            f" family {facts['cpu family']} model {facts['model']}" if {"cpu family", "model"} <= facts.keys() else ""
        )
        return facts.get("model name", platform.processor()) + family
    return platform.processor() or platform.machine()


@lru_cache(maxsize=1)
def revision() -> str:
    """The commit of the code that runs, ``-dirty`` when its files differ from it; ``unknown`` outside a checkout.

    Rows that are being written into the checkout are not code.
    """
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *_CODE)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    answer = subprocess.run(
        ["git", *arguments], cwd=_REPOSITORY, capture_output=True, text=True, check=True, timeout=20
    )
    return answer.stdout.strip()


def reset_peak_memory() -> None:
    """Let :func:`peak_memory` count from now on, where the system can."""
    try:
        (_PROC / "clear_refs").write_text("5")
    except OSError:
        return  # not Linux, or not allowed: the peak is that of the whole process


def peak_memory() -> int:
    """Largest memory that this process held at once since :func:`reset_peak_memory`, in bytes."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def memory_now() -> int:
    """Memory that this process holds, in bytes; 0 where the system does not say."""
    return _status("VmRSS")


_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def _status(name: str) -> int:
    path = _PROC / "status"
    if not path.is_file():
        return 0
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
