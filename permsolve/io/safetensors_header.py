"""The header of a .safetensors file: eight bytes of length, then JSON."""

import json
import os
from pathlib import Path
from typing import IO, Any

from permsolve.errors import FileFormatError

LENGTH_BYTES = 8
# Headers are filled up with spaces to a multiple of this, so that data can be mapped as they are.
_ALIGNMENT = 8


def read_header(stream: IO[bytes], path: Path) -> tuple[dict[str, Any], int]:
    """Entries of the tensors by name, and the position that their offsets count from.

    Raises
    ------
    FileFormatError
        When the header is longer than the file.
    """
    length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
    if length > os.fstat(stream.fileno()).st_size - LENGTH_BYTES:
        raise FileFormatError(f"{path}: not a .safetensors file: its header is longer than the file")
    entries: dict[str, Any] = json.loads(stream.read(length))
    entries.pop("__metadata__", None)
    return entries, LENGTH_BYTES + length


def header_bytes(entries: dict[str, Any], metadata: dict[str, str]) -> bytes:
    """What a file with these entries and metadata begins with."""
    whole = {"__metadata__": metadata, **entries} if metadata else entries
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text
