"""A small network on data made up in a moment, in the place of a real one."""

import gzip
import struct
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """An idx file, compressed."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def write_images(parent: Path) -> Path:
    """A data folder of images that two pixels tell apart."""
    folder = parent / "data" / "fashion-mnist"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 200), ("t10k", 60)):
        labels = rng.integers(0, 3, count).astype(np.uint8)
        images = rng.integers(0, 30, (count, 28, 28)).astype(np.uint8)
        images[np.arange(count), 3, labels] = 255
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
    return folder.parent


class Hidden(nn.Module):
    """One hidden layer, of which the order matters."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 32), nn.Linear(32, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels to logits."""
        logits: torch.Tensor = self.fc2(torch.relu(self.fc1(pixels)))
        return logits
