"""Kernels on the GPU: in numba's simulator here, for real where there is one; what is said where there is none."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from permsolve import Problem, solve
from permsolve.errors import InvalidOptionError, SolverUnavailableError
from permsolve.kernels.device import availability
from permsolve.kernels.device.availability import check_device, obstacle
from permsolve.stopping import MaxIterations

NO_GPU = obstacle()


@pytest.mark.skipif(find_spec("numba.cuda") is None, reason="this numba has no CUDA target, hence no simulator of one")
@pytest.mark.parametrize("chosen", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_in_the_simulator(chosen: str) -> None:
    """It must be asked for before numba is imported: the tests of ``simulated.py`` in a process of their own."""
    script = Path(__file__).with_name("simulated.py")
    paths = os.pathsep.join(path for path in sys.path if path)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", chosen, "-p", "no:cacheprovider", str(script)],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": paths},
        cwd=Path(__file__).parents[3],
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


@pytest.mark.skipif(NO_GPU is None, reason="this machine has a GPU")
@pytest.mark.parametrize("solver", ["assignment", "auto", "local-search"])
def test_without_a_gpu_there_is_one_clear_error(solver: str) -> None:
    """With the reason and the remedy."""
    problem = Problem(np.eye(8), "2:4")
    with pytest.raises(SolverUnavailableError, match=rf"{solver}: device='cuda' cannot be used: .*permsolve\[cuda\]"):
        solve(problem, solver, device="cuda")


@pytest.mark.parametrize("failure", [RuntimeError("unsupported PTX"), None])
def test_a_gpu_that_runs_nothing_is_none(monkeypatch: pytest.MonkeyPatch, failure: Exception | None) -> None:
    """A driver that is too old for the compiler, for example: said once, and auto does without."""

    def probe() -> bool:
        if failure is not None:
            raise failure
        return False

    cuda = pytest.importorskip("numba.cuda")
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(availability, "_probe", probe)
    why = obstacle.__wrapped__()
    assert why is not None
    assert "no kernel runs on it" in why
    assert ("unsupported PTX" in why) == (failure is not None)


def test_other_devices_are_unknown() -> None:
    """The known ones are listed."""
    check_device("local-search", "cpu")
    with pytest.raises(InvalidOptionError, match="local-search: device must be cpu or cuda, got 'gpu'"):
        solve(Problem(np.eye(8), "2:4"), "local-search", device="gpu")


def test_nothing_loads_the_cuda_target_unasked() -> None:
    """Solving on the CPU does not."""
    code = (
        "import sys, numpy, permsolve; permsolve.solve(permsolve.Problem(numpy.eye(12)), 'local-search', "
        "stop=permsolve.stopping.MaxIterations(3)); sys.exit('numba.cuda' in sys.modules)"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": paths})


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Grid size")  # small ones do not fill it
@pytest.mark.skipif(NO_GPU is not None, reason=NO_GPU or "")
@pytest.mark.parametrize(("rows", "columns"), [(64, 96), (1100, 520)])
def test_exchange_matrix_on_the_gpu(rows: int, columns: int) -> None:
    """As on the CPU; best swaps, too."""
    from tests.kernels.device import simulated

    simulated.check(*simulated.random_problem(rows, columns, "2:4"))


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Grid size")  # small ones do not fill it
@pytest.mark.skipif(NO_GPU is not None, reason=NO_GPU or "")
@pytest.mark.parametrize("solver", ["assignment", "local-search"])
def test_solvers_on_the_gpu(solver: str) -> None:
    """As good as on the CPU after as many moves, within a percent of the efficacy."""
    problem = Problem(np.random.default_rng(0).random((256, 512)), "2:4")
    found = [solve(problem, solver, stop=MaxIterations(300), device=device) for device in ("cpu", "cuda")]
    assert found[1].efficacy > found[0].efficacy - 1.0
    assert found[1].notes["device"]
