"""Whether numba can use a GPU here."""

import warnings
from functools import lru_cache

import numpy as np

from permsolve.errors import InvalidOptionError, SolverUnavailableError

DEVICES = ("cpu", "cuda")


@lru_cache(maxsize=1)
def obstacle() -> str | None:
    """Why no kernel can run on a GPU in this process; None when one did. Looked up once."""
    try:
        from numba import cuda
    except ImportError:
        return "numba has no CUDA target: pip install 'permsolve[cuda]'"
    if not cuda.is_available():
        return "numba finds no GPU with a driver and a CUDA toolkit: pip install 'permsolve[cuda]' brings the latter"
    # A small problem does not fill a GPU, and need not.
    warnings.filterwarnings("ignore", message="Grid size .* will likely result in GPU under-utilization")
    try:
        ran = _probe()
    except Exception as error:  # driver, compiler, linker and their bindings each raise their own, by version
        ran, why = False, f" ({type(error).__name__}: {' '.join(str(error).split())})"
    else:
        why = ""
    return None if ran else f"numba finds a GPU, but no kernel runs on it{why}: update the driver or permsolve[cuda]"


def _probe() -> bool:
    """Whether a kernel can be compiled, loaded and run."""
    from numba import cuda

    from permsolve.kernels.device._kernels import probe

    out = cuda.to_device(np.zeros(1, np.int64))
    probe[1, 1](out)
    return bool(out.copy_to_host()[0] == 1)


def device_name() -> str:
    """The GPU that kernels run on, in words; to be asked for where :func:`obstacle` has found none."""
    from numba import config, cuda

    if getattr(config, "ENABLE_CUDASIM", 0):
        return "numba's CUDA simulator"
    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


def multiprocessors() -> int:
    """Multiprocessors of that GPU; one in the simulator."""
    from numba import config, cuda

    if getattr(config, "ENABLE_CUDASIM", 0):
        return 1
    return int(cuda.get_current_device().MULTIPROCESSOR_COUNT)


def check_device(owner: str, device: object) -> None:
    """Refuse a device that a solver cannot use.

    Raises
    ------
    InvalidOptionError
        When it is no known device.
    SolverUnavailableError
        When there is no such device here.
    """
    if device not in DEVICES:
        raise InvalidOptionError(f"{owner}: device must be {' or '.join(DEVICES)}, got {device!r}")
    if device == "cuda" and (reason := obstacle()) is not None:
        raise SolverUnavailableError(f"{owner}: device='cuda' cannot be used: {reason}; device='cpu' always can")
