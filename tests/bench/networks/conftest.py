"""Data for a small network in the place of a real one."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from bench.train.data.idx import load_idx_images
from bench.train.loop import Recipe
from bench.train.networks import load_data, registry
from bench.train.networks.registry import Network
from tests.bench.train.small import Hidden, write_images


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data, and a small network of one hidden layer in the place of fashion-mlp."""
    recipe = Recipe(steps=30, batch=32, learning_rate=1e-2, warmup=3)
    network = Network(Hidden, lambda folder: load_idx_images(folder / "fashion-mnist"), recipe)
    monkeypatch.setitem(registry._NETWORKS, "fashion-mlp", network)
    load_data.cache_clear()
    return write_images(tmp_path)
