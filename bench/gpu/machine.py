"""Which GPU, and with what."""

import importlib.metadata
import platform

from permsolve.errors import SolverUnavailableError
from permsolve.kernels.device.availability import device_name, obstacle

_PACKAGES = ("numba", "numba-cuda", "torch")


def gpu() -> dict[str, str]:
    """Name of the GPU that kernels run on, of the processor beside it, and versions.

    Raises
    ------
    SolverUnavailableError
        When there is none.
    """
    if (reason := obstacle()) is not None:
        raise SolverUnavailableError(f"bench.gpu needs a GPU: {reason}")
    found = {"gpu": device_name(), "system": f"{platform.system()} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "none"
    return found
