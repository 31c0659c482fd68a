"""CIFAR-10 as JPEG images packed in one .npz file, all with the same first bytes, which are stored once."""

import io
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.train.data.images import LabelledImages
from permsolve.errors import FileFormatError

FILE_NAME = "cifar10_jpeg_20k_10k.npz"


def _decode(header: bytes, body: NDArray[np.uint8], offsets: NDArray[Any]) -> NDArray[np.uint8]:
    from PIL import Image  # no other data set needs it

    packed = body.tobytes()
    files = (header + packed[start:end] for start, end in pairwise(offsets))
    try:
        return np.stack([np.asarray(Image.open(io.BytesIO(file)), dtype=np.uint8) for file in files])
    except OSError as error:  # what Pillow raises for bytes that are no picture, or half of one
        raise ValueError(error) from error


def load_packed_jpeg(folder: Path) -> LabelledImages:
    """The training and test images, (count, 3, 32, 32), standardised per channel.

    Raises
    ------
    FileFormatError
        When the file is not what it should be.
    OSError
        When it is missing or unreadable.
    """
    path = folder / FILE_NAME
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            header = archive["header"].tobytes()
            images, test_images = (
                _decode(header, archive[f"{part}_jpeg"], archive[f"{part}_offsets"]) for part in ("train", "test")
            )
            labels, test_labels = (archive[f"{part}_labels"].astype(np.int64) for part in ("train", "test"))
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path}: not the packed images expected, or a damaged file: {error}") from error
    mean = images.mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)
    deviation = images.std(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)

    def pixels(pictures: NDArray[np.uint8]) -> Tensor:
        standard = (pictures.astype(np.float32) - mean) / deviation
        return torch.from_numpy(np.ascontiguousarray(standard.transpose(0, 3, 1, 2)))

    return LabelledImages(
        pixels(images),
        torch.from_numpy(labels),
        pixels(test_images),
        torch.from_numpy(test_labels),
        sources=(path,),
        mirrored=True,
    )
