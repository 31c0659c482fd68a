"""Labelled images in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images of a training and a test set, with their classes.

    Attributes
    ----------
    images, test_images : Tensor of float32, shape (count, ...)
        Standardised pixels.
    labels, test_labels : Tensor of int64, shape (count,)
        Classes.
    sources : tuple of Path
        The files they were read from.
    mirrored : bool
        Whether a random half of every batch drawn is flipped left to right.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    sources: tuple[Path, ...]
    mirrored: bool = False

    def draw(self, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """A random batch, drawn with replacement."""
        chosen = torch.randint(len(self.labels), (size,), generator=generator)
        images = self.images[chosen]
        if self.mirrored:
            flipped = torch.rand(size, generator=generator) < 0.5
            images[flipped] = images[flipped].flip(-1)
        return images, self.labels[chosen]

    def unseen(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The test set in batches."""
        yield from zip(self.test_images.split(size), self.test_labels.split(size), strict=True)
