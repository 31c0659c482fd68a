"""Training, on data made up in a moment; needs torch."""

import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from typer.testing import CliRunner

from bench.cli import app
from bench.train.cache import DamagedCacheError, find, weights_path
from bench.train.catalogue import NETWORKS
from bench.train.data.characters import load_characters
from bench.train.data.idx import load_idx_images, read_idx
from bench.train.loop import Recipe, fit, reproducible, score
from bench.train.networks import build, evaluate, load_data, registry
from bench.train.networks.registry import Network
from bench.train.training import load_trained, train
from permsolve.errors import FileFormatError
from tests.bench.train.small import write_images

RECIPE = Recipe(steps=30, batch=32, learning_rate=1e-2, warmup=3)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of images that two pixels tell apart."""
    return write_images(tmp_path)


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(pixels)
        return logits


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a small network in the place of fashion-mlp."""

    def replace(recipe: Recipe = RECIPE) -> None:
        network = Network(_Small, lambda folder: load_idx_images(folder / "fashion-mnist"), recipe)
        monkeypatch.setitem(registry._NETWORKS, "fashion-mlp", network)

    replace()
    return replace


@pytest.mark.parametrize("name", NETWORKS)
def test_catalogue_matches_the_networks(name: str) -> None:
    """Every matrix of a network with at least 8 input channels is an instance, embeddings apart."""
    layers = {
        path: tuple(layer.weight.shape)
        for path, layer in build(name).named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and layer.weight.shape[1] >= 8
    }
    assert layers == NETWORKS[name]


@pytest.mark.parametrize(
    ("name", "inputs", "logits"),
    [
        ("fashion-mlp", torch.zeros(3, 784), (3, 10)),
        ("cifar-conv", torch.zeros(3, 3, 32, 32), (3, 10)),
        ("resnet-20", torch.zeros(3, 3, 32, 32), (3, 10)),
        ("char-transformer", torch.zeros(3, 64, dtype=torch.int64), (3, 64, 65)),
    ],
)
def test_networks_run(name: str, inputs: torch.Tensor, logits: tuple[int, ...]) -> None:
    """From a batch of inputs to logits, classes last."""
    with torch.inference_mode():
        assert build(name)(inputs).shape == logits


def test_transformer_is_causal() -> None:
    """What comes later does not change what was told before."""
    text = torch.zeros(1, 64, dtype=torch.int64)
    other = text.clone()
    other[0, 40:] = 7
    model = build("char-transformer").eval()
    with torch.inference_mode():
        before, after = model(text), model(other)
    torch.testing.assert_close(before[0, :40], after[0, :40])
    assert not torch.equal(before[0, 40:], after[0, 40:])


@pytest.mark.usefixtures("small")
def test_trains_once(data: Path, tmp_path: Path) -> None:
    """Trained well, kept, reused; load_trained and evaluate give back the score of the manifest."""
    cache, losses = tmp_path / "cache", list[float]()
    manifest = train("fashion-mlp", data, cache, on_step=lambda step, loss: losses.append(loss))
    assert len(losses) == RECIPE.steps
    assert losses[-1] < 0.3 * losses[0]
    assert manifest.accuracy > 0.9
    assert len(manifest.data) == 4
    assert train("fashion-mlp", data, cache, on_step=lambda step, loss: losses.append(loss)) == manifest
    assert len(losses) == RECIPE.steps
    result = evaluate(load_trained("fashion-mlp", cache), "fashion-mlp", data)
    assert result.accuracy == manifest.accuracy
    assert result.loss == pytest.approx(manifest.loss)


def test_another_recipe_trains_again(data: Path, tmp_path: Path, small: Callable[..., None]) -> None:
    """The cache of an older recipe is not taken for the new one."""
    first = train("fashion-mlp", data, tmp_path)
    small(dataclasses.replace(RECIPE, seed=1))
    second = train("fashion-mlp", data, tmp_path)
    assert first.sha256 != second.sha256
    assert find(tmp_path, "fashion-mlp") == second


@pytest.mark.usefixtures("small")
def test_the_seed_is_part_of_what_is_kept(data: Path, tmp_path: Path) -> None:
    """Another seed gives other weights, in a folder of their own or in the place of the first; the same, the same."""
    first = train("fashion-mlp", data, tmp_path / "zero", seed=0)
    second = train("fashion-mlp", data, tmp_path / "one", seed=1)
    assert (first.recipe["seed"], second.recipe["seed"]) == (0, 1)
    assert first.sha256 != second.sha256
    assert train("fashion-mlp", data, tmp_path / "zero") == first  # the recipe's own seed is 0
    assert train("fashion-mlp", data, tmp_path / "zero", seed=1).sha256 == second.sha256
    assert find(tmp_path / "zero", "fashion-mlp") != first


@pytest.mark.usefixtures("small")
def test_damaged_cache_is_refused_and_replaced_when_told(data: Path, tmp_path: Path) -> None:
    """A damaged file is never overwritten silently, and the same seed makes the same file again."""
    manifest = train("fashion-mlp", data, tmp_path)
    weights_path(tmp_path, "fashion-mlp").write_bytes(b"broken")
    with pytest.raises(DamagedCacheError):
        train("fashion-mlp", data, tmp_path)
    assert train("fashion-mlp", data, tmp_path, again=True).sha256 == manifest.sha256


@pytest.mark.usefixtures("small")
def test_command(data: Path, tmp_path: Path) -> None:
    """The command trains what is asked for, and says in one line what is wrong."""
    options = ["--cache", str(tmp_path / "cache"), "--network", "fashion-mlp"]
    answer = CliRunner().invoke(app, ["train", "--data", str(data), *options])
    assert answer.exit_code == 0
    assert "fashion-mlp" in answer.output
    weights_path(tmp_path / "cache", "fashion-mlp").write_bytes(b"broken")
    assert CliRunner().invoke(app, ["train", "--data", str(data), *options]).exit_code == 2
    load_data.cache_clear()
    answer = CliRunner().invoke(app, ["train", "--data", str(tmp_path / "none"), *options, "--again"])
    assert answer.exit_code == 2
    assert "none" in answer.output
    assert CliRunner().invoke(app, ["train", "--data", str(data), *options[:2], "--network", "other"]).exit_code == 2


def test_reproducible_leaves_torch_as_it_was() -> None:
    """Seeds, threads and algorithms are set for a while only."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    with reproducible(0):
        assert torch.get_num_threads() == 1
        first = torch.rand(3)
    with reproducible(0):
        assert torch.equal(first, torch.rand(3))
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(3), expected)


def test_characters(tmp_path: Path) -> None:
    """Windows and what follows them; a network learns that one character follows the other."""
    (tmp_path / "input.txt").write_text("ab" * 200)
    text = load_characters(tmp_path, length=8, alphabet=2)
    inputs, targets = text.draw(5, torch.Generator().manual_seed(0))
    assert torch.equal(inputs, 1 - targets)
    held = torch.cat([batch for batch, _ in text.unseen(2)])
    assert held.shape == (4, 8)
    model = nn.Embedding(2, 2)
    fit(model, text, Recipe(steps=40, batch=4, learning_rate=0.2, warmup=1))
    assert score(model, text).accuracy == 1.0
    with pytest.raises(FileFormatError, match="2 different characters, expected 65"):
        load_characters(tmp_path, length=8, alphabet=65)


def test_packed_jpeg(tmp_path: Path) -> None:
    """Pictures that share their first bytes come out in order, standardised."""
    image = pytest.importorskip("PIL.Image")
    from bench.train.data.packed_jpeg import FILE_NAME, load_packed_jpeg

    greys = (40, 200, 120)
    for grey in greys:
        image.new("RGB", (32, 32), (grey,) * 3).save(tmp_path / f"{grey}.jpg")
    files = [(tmp_path / f"{grey}.jpg").read_bytes() for grey in greys]
    parts: dict[str, Any] = {}
    for part in ("train", "test"):
        parts[f"{part}_jpeg"] = np.frombuffer(b"".join(file[100:] for file in files), np.uint8)
        parts[f"{part}_offsets"] = np.cumsum([0, *(len(file) - 100 for file in files)]).astype(np.uint32)
        parts[f"{part}_labels"] = np.arange(3, dtype=np.uint8)
    np.savez(tmp_path / FILE_NAME, header=np.frombuffer(files[0][:100], np.uint8), **parts)
    images = load_packed_jpeg(tmp_path)
    assert images.images.shape == (3, 3, 32, 32)
    assert images.images.mean(dim=(1, 2, 3)).argsort().tolist() == [0, 2, 1]
    assert images.labels.tolist() == [0, 1, 2]
    (tmp_path / FILE_NAME).write_bytes(b"no archive")
    with pytest.raises(FileFormatError, match="packed images"):
        load_packed_jpeg(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"plain", gzip.compress(b"", mtime=0), gzip.compress(b"\0\0\x08\x01\0\0\0\x09\0", mtime=0)],
    ids=["empty", "plain", "nothing packed", "too short"],
)
def test_broken_idx(tmp_path: Path, content: bytes) -> None:
    """Whatever is no idx file is refused by name."""
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"images\.gz"):
        read_idx(path)


def test_unknown_network() -> None:
    """The error lists those there are."""
    with pytest.raises(LookupError, match="fashion-mlp"):
        build("other")
