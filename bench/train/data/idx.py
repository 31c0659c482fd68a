"""MNIST and Fashion-MNIST: images in gzipped idx files."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.train.data.images import LabelledImages
from permsolve.errors import FileFormatError


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of bytes in a gzipped idx file.

    Raises
    ------
    FileFormatError
        When it is not one, or is cut short.
    OSError
        When it is missing or unreadable.
    """
    with path.open("rb") as stream:
        packed = stream.read()
    try:
        data = gzip.decompress(packed)
        zeros, kind, dimensions = struct.unpack_from(">HBB", data)
        shape = struct.unpack_from(f">{dimensions}I", data, 4)
        if (zeros, kind) != (0, 8):
            raise ValueError("not an idx file of bytes")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (gzip.BadGzipFile, zlib.error, EOFError, struct.error, ValueError) as error:
        raise FileFormatError(f"{path}: not a gzipped idx file of bytes, or a damaged one: {error}") from error


def load_idx_images(folder: Path) -> LabelledImages:
    """The four files of MNIST or Fashion-MNIST, each image one standardised row of 784 pixels."""
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    sources = tuple(folder / name for name in names)
    images, labels, test_images, test_labels = (read_idx(path) for path in sources)
    mean, deviation = images.mean() / 255.0, images.std() / 255.0

    def rows(pixels: NDArray[np.uint8]) -> Tensor:
        flat = pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255.0)
        return torch.from_numpy((flat - np.float32(mean)) / np.float32(deviation))

    def classes(values: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(values.astype(np.int64))

    return LabelledImages(rows(images), classes(labels), rows(test_images), classes(test_labels), sources)
