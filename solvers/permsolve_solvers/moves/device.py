"""The exchange matrix on a GPU, for solvers that take ``device="cuda"``."""

from typing import TYPE_CHECKING

from permsolve.kernels.device.availability import device_name
from permsolve.problem import Problem
from permsolve.run import Run

if TYPE_CHECKING:
    from permsolve.kernels.device.exchange import DeviceExchange


def fits_device(problem: Problem) -> bool:
    """Whether the saliency of a problem fits on the GPU; to be asked where there is one."""
    from permsolve.kernels.device.exchange import shortage  # loads numba's CUDA target

    return shortage(*problem.padded.shape) is None


def on_device(problem: Problem, run: Run) -> "DeviceExchange":
    """Copy a problem to the GPU, and note in the run that it is searched there.

    Raises
    ------
    UnsupportedProblemError
        When it does not fit.
    """
    from permsolve.kernels.device.exchange import DeviceExchange  # loads numba's CUDA target

    matrix = DeviceExchange(problem.working, problem.pattern.n)
    run.notes["device"] = device_name()
    return matrix
