"""What the training loop and the evaluation ask of a data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from torch import Generator, Tensor


class Dataset(Protocol):
    """Random batches to learn from and fixed batches, unseen in training, to be judged by."""

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files it was read from."""
        ...

    def draw(self, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """A random batch: inputs, and the class that is right at each position."""
        ...

    def unseen(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All held-out examples in order, in batches."""
        ...
