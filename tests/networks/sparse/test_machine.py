"""The report of the machine, in Python and on the command line."""

import json

import pytest
import torch

from permsolve.cli import main
from permsolve.networks.sparse import gpu_report
from tests.networks.sparse.emulation import Emulation

CPU = torch.device("cpu")


def test_a_machine_that_is_able() -> None:
    """Every shape and number of tokens by every backend that is there; refusals are rows."""
    hardware = Emulation(refuses="cutlass")
    report = gpu_report(hardware=hardware, device=CPU, shapes=[(32, 64), (16, 32)], tokens=[1, 4])
    assert report.able
    assert report.backends == ("cusparselt", "cutlass")
    assert len(report.measurements) == 8
    first, second = report.measurements[:2]
    assert (first.shape, first.tokens, first.backend, first.speedup) == ((32, 64), 1, "cusparselt", 2.0)
    assert second.speedup is None
    assert "compute capability 8.x" in second.refusal
    text = "\n".join(report.lines())
    assert "2:4 on the GPU: yes" in text
    assert "2.000" in text
    assert json.loads(json.dumps(report.to_dict()))["measurements"][0]["speedup"] == 2.0
    assert gpu_report(hardware=hardware, device=CPU, measure=False).measurements == ()


def test_times_of_wrong_products_are_not_reported() -> None:
    """How wrong they are is."""
    report = gpu_report(hardware=Emulation(damage="cusparselt"), device=CPU, shapes=[(32, 64)], tokens=[4])
    wrong, fine = report.measurements
    assert wrong.speedup is None
    assert "more than rounding" in wrong.refusal
    assert fine.speedup is not None


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_command_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    """Says no, why, and returns 1."""
    assert main(["gpu-report"]) == 1
    assert capsys.readouterr().out.startswith("2:4 on the GPU: no: no CUDA device\ndevice: none\n")
    assert main(["gpu-report", "--json", "-"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["able"] is False
    assert document["versions"]["torch"] == torch.__version__
    assert main(["gpu-report", "--json", "file"]) == 2
