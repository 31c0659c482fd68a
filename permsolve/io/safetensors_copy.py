"""Copying a .safetensors file with some of its tensors replaced."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading
from permsolve.io.safetensors_header import read_header
from permsolve.io.writing import atomic_write

# Bytes that are copied at once.
_CHUNK = 1 << 22


def copy_safetensors(
    source: Path,
    target: str | os.PathLike[str],
    replaced: Mapping[str, Callable[[], NDArray[Any]]],
) -> None:
    """Copy ``source`` to ``target``, byte for byte but for the tensors that are replaced.

    Header and metadata stay as they are. Only one tensor is in memory at a time, and those that are copied may
    have types that numpy does not know.

    Parameters
    ----------
    source : Path
        A .safetensors file.
    target : path_like
        Where the copy shall be; it appears whole or not at all.
    replaced : mapping of str to callable
        For each tensor to replace, a function that returns its new values, of the same shape and dtype.

    Raises
    ------
    FileFormatError
        When ``source`` is no such file, or a new tensor does not fit where the old one was.
    OSError
        When ``target`` cannot be written.
    """
    with source.open("rb") as stream:
        with reading(source, "a .safetensors file"):
            entries, start = read_header(stream, source)
            offsets = {name: [int(offset) for offset in entry["data_offsets"]] for name, entry in entries.items()}
            spans = sorted((begin, end, name) for name, (begin, end) in offsets.items())

        size = os.fstat(stream.fileno()).st_size

        def write(out: IO[bytes]) -> None:
            stream.seek(0)
            for begin, end, name in spans:
                if name not in replaced:
                    continue
                data = np.ascontiguousarray(replaced[name]()).reshape(-1).view(np.uint8).data
                if len(data) != end - begin:
                    raise FileFormatError(f"{source}: the new {name!r} has {len(data)} bytes, the old {end - begin}")
                _copy(stream, out, start + begin)
                out.write(data)
                stream.seek(end - begin, os.SEEK_CUR)
            _copy(stream, out, size)

        atomic_write(target, write, size)


def _copy(source: IO[bytes], target: IO[bytes], end: int) -> None:
    """Copy bytes up to a position in the source."""
    while (left := end - source.tell()) > 0:
        chunk = source.read(min(left, _CHUNK))
        if not chunk:
            raise FileFormatError(f"{source.name}: was cut off while it was being copied")
        target.write(chunk)
