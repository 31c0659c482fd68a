"""Copying a .safetensors file with some of its tensors replaced."""

import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading
from permsolve.io.safetensors_header import LENGTH_BYTES, header_bytes, read_header
from permsolve.io.writing import atomic_write

# Bytes that are copied at once.
_CHUNK = 1 << 22


def copy_safetensors(
    source: Path,
    target: str | os.PathLike[str],
    replaced: Mapping[str, Callable[[], NDArray[Any]]],
    left_out: Collection[str] = (),
) -> None:
    """Copy ``source`` to ``target``, byte for byte but for the tensors that are replaced or left out.

    Header and metadata stay as they are, unless a tensor is left out. Only one tensor is in memory at a time, and those
    that are copied may have types that numpy does not know.

    Parameters
    ----------
    source : Path
        A .safetensors file.
    target : path_like
        Where the copy shall be; it appears whole or not at all.
    replaced : mapping of str to callable
        For each tensor to replace, a function that returns its new values, of the same shape and dtype.
    left_out : collection of str
        Tensors that the copy shall not have; names that the file lacks are ignored.

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
            if any(name in left_out for name in entries):
                out.write(_header_without(stream, entries, [name for _, _, name in spans if name not in left_out]))
                stream.seek(start)
            for begin, end, name in spans:
                if name in left_out:
                    stream.seek(start + end)
                    continue
                if name not in replaced:
                    _copy(stream, out, start + end)
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


def _header_without(stream: IO[bytes], entries: dict[str, Any], kept: list[str]) -> bytes:
    """The header of a file that has the named tensors alone, in this order."""
    length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
    metadata = json.loads(stream.read(length)).get("__metadata__", {})
    found: dict[str, Any] = {}
    size = 0
    for name in kept:
        begin, end = (int(offset) for offset in entries[name]["data_offsets"])
        found[name] = {**entries[name], "data_offsets": [size, size + end - begin]}
        size += end - begin
    return header_bytes(found, metadata)
