"""Tiny models of `transformers`: sparse layers change nothing beyond rounding, on the GPU and in emulation."""

from copy import deepcopy

import pytest
import torch

from permsolve.networks.sparse import sparsify_
from permsolve.networks.sparse.hardware import Cuda, Hardware
from permsolve.networks.sparse.trial import tolerance
from tests.networks.sparse.emulation import Emulation, pruned
from tests.networks.sparse.gpu import no_gpu

pytest.importorskip("transformers")
from tests.networks.architectures import ARCHITECTURES, Architecture

# Their layers are classes of their own, which have no sparse form: all stays dense.
OWN_LAYERS = ("gpt2", "falcon")
EACH = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one.name)


def check(architecture: Architecture, hardware: Hardware, device: str) -> None:
    """Make all sparse that can be, whatever it takes, and compare layer by layer and as a whole."""
    torch.manual_seed(0)
    model = pruned(architecture.build().float()).to(device)
    inputs = {
        name: tensor.to(device, torch.bfloat16 if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in architecture.inputs().items()
    }
    copy = deepcopy(model)
    report = sparsify_(copy, inputs, min_speedup=1e-9, hardware=hardware)
    assert bool(report.sparse) == (architecture.name not in OWN_LAYERS)
    errors = [layer.max_error for layer in report.layers if layer.max_error is not None]
    assert max(errors, default=0.0) <= tolerance(torch.bfloat16)
    assert report.output_error is not None
    assert "more than rounding" not in report.table()


@pytest.mark.parametrize("architecture", [one for one in ARCHITECTURES if one.fast], ids=lambda one: one.name)
def test_emulated(architecture: Architecture) -> None:
    """The decisions, the padding and the forms of the layers, without a GPU."""
    check(architecture, Emulation(), "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(no_gpu() is not None, reason=no_gpu() or "")
@EACH
def test_on_the_gpu(architecture: Architecture) -> None:
    """Torch's own 2:4 products."""
    check(architecture, Cuda(), "cuda")
