"""Which machine, and with what."""

from bench.runner.machine import machine, revision
from permsolve.errors import SolverUnavailableError
from permsolve.kernels.device.availability import device_name, obstacle
from permsolve.versions import versions

_PACKAGES = ("numba", "numba-cuda", "torch")


def gpu() -> dict[str, str]:
    """Name of the GPU that kernels run on, and what :func:`processor` says.

    Raises
    ------
    SolverUnavailableError
        When there is none.
    """
    if (reason := obstacle()) is not None:
        raise SolverUnavailableError(f"bench.gpu needs a GPU: {reason}")
    return {"gpu": device_name(), **processor()}


def processor() -> dict[str, str]:
    """The machine apart from its GPU, versions, and the commit of the code."""
    found = {name: str(value) for name, value in machine().items()}
    return found | versions(*_PACKAGES) | {"revision": revision()}
