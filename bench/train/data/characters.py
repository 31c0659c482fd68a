"""A text as a sequence of characters, each to be told from those before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from permsolve.errors import FileFormatError

FILE_NAME = "input.txt"
TRAINED_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Characters:
    """The first 90 % of a text to learn from, the rest to be judged by.

    Attributes
    ----------
    seen, held_out : Tensor of int64, shape (length,)
        Character numbers, in the order of the sorted alphabet.
    length : int
        Characters in each example.
    sources : tuple of Path
        The file it was read from.
    """

    seen: Tensor
    held_out: Tensor
    length: int
    sources: tuple[Path, ...]

    def draw(self, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Random windows of the text, and the same windows one character on."""
        starts = torch.randint(len(self.seen) - self.length, (size, 1), generator=generator)
        windows = self.seen[starts + torch.arange(self.length + 1)]
        return windows[:, :-1], windows[:, 1:]

    def unseen(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The held-out text in consecutive windows; a rest shorter than one is left out."""
        count = (len(self.held_out) - 1) // self.length
        inputs = self.held_out[: count * self.length].view(count, self.length)
        targets = self.held_out[1 : count * self.length + 1].view(count, self.length)
        yield from zip(inputs.split(size), targets.split(size), strict=True)


def load_characters(folder: Path, length: int, alphabet: int) -> Characters:
    """Read the text, whose alphabet must have the size that the network was made for.

    Raises
    ------
    FileFormatError
        When its alphabet has another size.
    OSError
        When it is missing or unreadable.
    """
    path = folder / FILE_NAME
    found, numbers = np.unique(np.frombuffer(path.read_bytes(), np.uint8), return_inverse=True)
    if len(found) != alphabet:
        raise FileFormatError(f"{path}: the text has {len(found)} different characters, expected {alphabet}")
    text = torch.from_numpy(numbers.astype(np.int64))
    cut = int(TRAINED_SHARE * len(text))
    return Characters(text[:cut], text[cut:], length, (path,))
