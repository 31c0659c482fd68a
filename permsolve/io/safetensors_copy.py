"""Copying a .safetensors file with some of its tensors replaced."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading
from permsolve.io.writing import atomic_write

LENGTH_BYTES = 8


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
            length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
            if length > source.stat().st_size - LENGTH_BYTES:
                raise FileFormatError(f"{source}: not a .safetensors file: its header is longer than the file")
            entries = json.loads(stream.read(length))
            entries.pop("__metadata__", None)
            spans = sorted((*map(int, entry["data_offsets"]), name) for name, entry in entries.items())
        start = LENGTH_BYTES + length

        def write(out: IO[bytes]) -> None:
            stream.seek(0)
            shutil.copyfileobj(stream, out)
            for begin, end, name in spans:
                if name not in replaced:
                    continue
                data = replaced[name]().tobytes()
                if len(data) != end - begin:
                    raise FileFormatError(f"{source}: the new {name!r} has {len(data)} bytes, the old {end - begin}")
                out.seek(start + begin)
                out.write(data)

        atomic_write(target, write)
