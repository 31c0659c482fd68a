"""The cache of trained networks: whole, missing or damaged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.train.cache import DamagedCacheError, NotTrainedError, find, manifest_path, require, store, weights_path

KNOWN: dict[str, Any] = {
    "recipe": {"seed": 0},
    "loss": 0.5,
    "accuracy": 0.9,
    "seconds": 1.0,
    "versions": {"torch": "2"},
    "data": {},
}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder, not there before, with one network in it."""
    folder = tmp_path / "new" / "cache"
    store(folder, "one", {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}, **KNOWN)
    return folder


def test_round_trip(cache: Path) -> None:
    """What was stored is found again, and nothing else is left in the folder."""
    manifest = find(cache, "one")
    assert manifest is not None
    assert (manifest.loss, manifest.accuracy, manifest.recipe) == (0.5, 0.9, {"seed": 0})
    assert require(cache, "one") == weights_path(cache, "one")
    assert sorted(path.name for path in cache.iterdir()) == ["one.json", "one.safetensors"]


def test_missing(cache: Path) -> None:
    """A network that was never trained, or whose training was cut short, is not there."""
    assert find(cache, "two") is None
    with pytest.raises(NotTrainedError, match="--network two"):
        require(cache, "two")
    manifest_path(cache, "one").unlink()
    assert find(cache, "one") is None


def test_damaged_weights(cache: Path) -> None:
    """One byte that changed is enough."""
    path = weights_path(cache, "one")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedCacheError, match=r"one\.safetensors: sha256 .* --again"):
        find(cache, "one")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"network": 1}', "\x00", "null"])
def test_damaged_manifest(cache: Path, text: str) -> None:
    """Anything but a manifest is refused by name."""
    manifest_path(cache, "one").write_text(text)
    with pytest.raises(DamagedCacheError, match=r"one\.json: not a manifest"):
        find(cache, "one")


def test_manifest_of_another_network(cache: Path) -> None:
    """Files that were renamed by hand are not what their names say."""
    for ending in ("json", "safetensors"):
        (cache / f"one.{ending}").rename(cache / f"two.{ending}")
    with pytest.raises(DamagedCacheError):
        find(cache, "two")


def test_killed_between_the_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New weights without their manifest are unfinished, not damaged."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.train.cache.atomic_write", killed)
    with pytest.raises(KeyboardInterrupt):
        store(cache, "one", {"fc.weight": np.zeros((2, 3), np.float32)}, **KNOWN)
    assert find(cache, "one") is None
