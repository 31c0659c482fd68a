"""Noticing that a file was changed while it was being used."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from permsolve.errors import FileFormatError


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells an open file from what was written over it later.

    A file that was deleted or replaced is no change: whoever has it open still reads what it held.
    """

    device: int
    number: int
    size: int
    changed: int

    @classmethod
    def of(cls, stream: IO[bytes]) -> Self:
        """That of an open file."""
        return cls._from(os.fstat(stream.fileno()))

    @classmethod
    def _from(cls, found: os.stat_result) -> Self:
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def check(self, path: Path) -> None:
        """Refuse a file that was written to since.

        Raises
        ------
        FileFormatError
            When it was.
        """
        try:
            now = self._from(path.stat())
        except OSError:
            return
        if (now.device, now.number) == (self.device, self.number) and now != self:
            raise FileFormatError(f"{path}: was changed while it was being read: start again when it is complete")
