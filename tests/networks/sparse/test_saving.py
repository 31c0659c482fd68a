"""Pruned networks in files: what goes in comes out, and the manifest says what is in there."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from permsolve import networks
from permsolve.errors import FileFormatError, InvalidNetworkError, InvalidOptionError
from permsolve.networks.sparse import load_sparse, save_sparse, sparsify_
from tests.networks.running import BRIEF
from tests.networks.sparse.emulation import Emulation, pruned


def network(seed: int = 0, dtype: torch.dtype = torch.float16) -> nn.Module:
    """Convolutions, a norm with buffers, a linear layer, one of them with an odd number of inputs; all pruned."""
    torch.manual_seed(seed)
    return pruned(
        nn.Sequential(
            nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.Conv2d(12, 6, 1), nn.Flatten(), nn.Linear(6, 5), nn.Linear(5, 4)
        ),
        dtype,
    )  # fmt: skip


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models hold the same values."""
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_round_trip(tmp_path: Path, packed: bool, dtype: torch.dtype) -> None:
    """Every value of every tensor, exactly."""
    model, other = network(0, dtype), network(1, dtype)
    written = save_sparse(model, tmp_path / "model.safetensors", packed=packed)
    read = load_sparse(other, tmp_path / "model.safetensors")
    assert same(model, other)
    assert read.sparse == written.sparse
    assert str(read.pattern) == "2:4"
    assert set(read.versions) == {"permsolve", "torch"}
    how = "packed" if packed else "masked"
    assert read.sparse == {"0.weight": how, "2.weight": how, "4.weight": "masked", "5.weight": "masked"}


def test_packed_files_are_smaller(tmp_path: Path) -> None:
    """9/16 of the bytes of a weight of 16 bits."""
    model = pruned(nn.Linear(256, 256, bias=False))
    save_sparse(model, tmp_path / "packed.safetensors")
    save_sparse(model, tmp_path / "masked.safetensors", packed=False)
    sizes = [(tmp_path / f"{kind}.safetensors").stat().st_size for kind in ("packed", "masked")]
    assert sizes[0] < 0.6 * sizes[1]


def test_other_patterns_are_stored_masked(tmp_path: Path) -> None:
    """Packing is for 2:4."""
    model = nn.Linear(16, 8)
    networks.prune_(model, "1:4")
    networks.finalize_(model)
    with pytest.raises(InvalidOptionError, match="packed=False"):
        save_sparse(model, tmp_path / "a.safetensors", pattern="1:4")
    save_sparse(model, tmp_path / "a.safetensors", pattern="1:4", packed=False)
    other = nn.Linear(16, 8)
    assert str(load_sparse(other, tmp_path / "a.safetensors").pattern) == "1:4"
    assert same(model, other)


def test_the_permutations_are_in_the_manifest(tmp_path: Path) -> None:
    """With the axes that carry them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
    report = networks.permute_(model, (torch.randn(4, 16),), **BRIEF)
    save_sparse(pruned(model), tmp_path / "a.safetensors", report=report)
    other = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)).bfloat16()
    manifest = load_sparse(other, tmp_path / "a.safetensors")
    expected = report.permutations()
    assert manifest.permutations.keys() == expected.keys()
    assert all((manifest.permutations[name] == expected[name]).all() for name in expected)
    (axes,) = manifest.axes.values()
    assert ("2.weight", 1) in axes


def test_shared_tensors_are_stored_once(tmp_path: Path) -> None:
    """And are shared, as the architecture has it, after loading."""

    def tied() -> nn.Sequential:
        model = nn.Sequential(nn.Embedding(32, 64), nn.Linear(64, 32, bias=False))
        model[0].weight = model[1].weight
        return model

    model, other = pruned(tied()), tied().bfloat16()
    save_sparse(model, tmp_path / "a.safetensors")
    load_sparse(other, tmp_path / "a.safetensors")
    assert same(model, other)
    assert other[0].weight is other[1].weight
    with safe_open(str(tmp_path / "a.safetensors"), framework="pt") as file:
        assert len(list(file.keys())) == 2


def test_a_sparse_model_is_saved_like_a_dense_one(tmp_path: Path) -> None:
    """Padding and the shape of convolutions are undone."""
    torch.manual_seed(0)
    model = pruned(nn.Sequential(nn.Conv2d(20, 12, 1), nn.Flatten(), nn.Linear(12, 5)))
    save_sparse(model, tmp_path / "dense.safetensors")
    hardware = Emulation()
    assert len(sparsify_(model, torch.randn(2, 20, 1, 1).bfloat16(), hardware=hardware).sparse) == 2
    save_sparse(model, tmp_path / "sparse.safetensors", hardware=hardware)
    assert (tmp_path / "sparse.safetensors").read_bytes() == (tmp_path / "dense.safetensors").read_bytes()
    with pytest.raises(InvalidNetworkError, match="sparse already"):
        load_sparse(model, tmp_path / "dense.safetensors")


def test_a_layer_of_two_names_is_stored_once(tmp_path: Path) -> None:
    """Also when it is sparse, padded, and so no tensor of its file."""

    def twice() -> nn.Module:
        torch.manual_seed(0)
        model = nn.Module()
        model.one = model.other = nn.Linear(20, 12)
        return model

    model, again = pruned(twice()), twice().bfloat16()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    hardware = Emulation()
    assert sparsify_(model, hardware=hardware).sparse
    save_sparse(model, tmp_path / "a.safetensors", hardware=hardware)
    load_sparse(again, tmp_path / "a.safetensors")
    assert all(torch.equal(tensor, before[name]) for name, tensor in again.state_dict().items())
    with safe_open(str(tmp_path / "a.safetensors"), framework="pt") as file:
        assert {name.split(".")[0] for name in file.keys()} == {"one"}  # noqa: SIM118


def test_what_cannot_be_saved_is_refused(tmp_path: Path) -> None:
    """Unpruned, masked, another ending: nothing is written."""
    with pytest.raises(InvalidNetworkError, match="no weight of Linear is 2:4"):
        save_sparse(nn.Linear(8, 8), tmp_path / "a.safetensors")
    masked = nn.Linear(8, 8)
    networks.prune_(masked)
    with pytest.raises(InvalidNetworkError, match="finalize_"):
        save_sparse(masked, tmp_path / "a.safetensors")
    with pytest.raises(FileFormatError, match=r"name it \.safetensors"):
        save_sparse(network(), tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    """Another architecture, another file, a truncated file; the model is as it was."""
    path = tmp_path / "a.safetensors"
    save_sparse(network(), path)
    other = nn.Sequential(nn.Linear(4, 4))
    before = other.get_parameter("0.weight").detach().clone()
    with pytest.raises(InvalidNetworkError, match="load into the architecture"):
        load_sparse(other, path)
    assert torch.equal(other.get_parameter("0.weight"), before)
    with pytest.raises(FileNotFoundError):
        load_sparse(network(), tmp_path / "none.safetensors")
    (tmp_path / "b.safetensors").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileFormatError, match="damaged"):
        load_sparse(network(), tmp_path / "b.safetensors")
    from safetensors.torch import save_file

    plain: dict[str, Tensor] = {"weight": torch.zeros(4, 4)}
    save_file(plain, str(tmp_path / "c.safetensors"))
    with pytest.raises(FileFormatError, match="no manifest"):
        load_sparse(network(), tmp_path / "c.safetensors")
