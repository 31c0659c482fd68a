"""Torch's own 2:4 products: run on a machine with a GPU by ``pytest -m gpu``, skipped elsewhere."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from permsolve.networks.differences import difference
from permsolve.networks.sparse import gpu_report, load_sparse, pack, save_sparse, sparsify_
from permsolve.networks.sparse.forms import padded_matrix
from permsolve.networks.sparse.hardware import Cuda
from permsolve.networks.sparse.trial import tolerance
from tests.networks.sparse.emulation import pruned
from tests.networks.sparse.gpu import no_gpu

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(no_gpu() is not None, reason=no_gpu() or "")]
DTYPES = [torch.float16, torch.bfloat16]


def network(dtype: torch.dtype) -> nn.Module:
    """Shapes that fit, one that needs padding, and a convolution of single points."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(128, 256, 1), nn.ReLU(), nn.Flatten(2), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 50))
    return pruned(nn.Sequential(*layers), dtype).cuda()


def images(dtype: torch.dtype) -> torch.Tensor:
    """An input of :func:`network`."""
    return torch.randn(4, 128, 8, 8, device="cuda", dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@torch.no_grad()
def test_sparse_layers_compute_what_dense_ones_do(dtype: torch.dtype) -> None:
    """Up to rounding; compiled by inductor, too."""
    model = network(dtype)
    x = images(dtype)
    expected = model(x)
    report = sparsify_(model, x, min_speedup=1e-9)
    assert len(report.sparse) == 3, report.table()
    limit = 4 * tolerance(dtype)
    assert difference([expected], [model(x)]) <= limit
    assert difference([expected], [torch.compile(model)(x)]) <= limit
    with torch.enable_grad():
        assert difference([expected], [torch.compile(model)(x)]) <= limit


@pytest.mark.parametrize("dtype", DTYPES)
def test_files_hold_the_same_weights(tmp_path: Path, dtype: torch.dtype) -> None:
    """A sparse model is written like the dense one that it was."""
    model = network(dtype)
    before = copy.deepcopy(model.state_dict())
    sparsify_(model, images(dtype), min_speedup=1e-9)
    save_sparse(model, tmp_path / "a.safetensors")
    other = network(dtype)
    load_sparse(other, tmp_path / "a.safetensors")
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", ["cusparselt", "cutlass"])
def test_what_is_packed_is_unpacked(backend: str, dtype: torch.dtype) -> None:
    """Every value of the dense weight; CUTLASS keeps those that :func:`pack` leaves, in that order."""
    if backend not in Cuda().backends():
        pytest.skip(f"{backend} is not there")
    layer = pruned(nn.Linear(128, 64), dtype).cuda()
    weight = padded_matrix(layer, (64, 128))
    packed = Cuda().pack(weight, backend)
    assert torch.equal(Cuda().unpack(packed), weight)
    if backend == "cutlass":
        assert torch.equal(packed.packed, pack(weight).values)  # type: ignore[attr-defined]


def test_the_report_of_this_machine() -> None:
    """Able, with times for every backend that does not refuse."""
    report = gpu_report(shapes=[(1024, 1024)], tokens=[256])
    assert report.able
    assert report.device
    assert any(one.speedup is not None for one in report.measurements)
