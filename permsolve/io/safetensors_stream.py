"""Writing a .safetensors file tensor by tensor, with one of them in memory at a time."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from permsolve.errors import FileFormatError
from permsolve.io.safetensors_header import header_bytes
from permsolve.io.safetensors_types import stored_name
from permsolve.io.writing import atomic_write

# What the header calls its own.
_METADATA = "__metadata__"


@dataclass(frozen=True, slots=True)
class Pending:
    """A tensor that is made when it is written.

    Attributes
    ----------
    dtype : dtype_like
        One that the format knows.
    shape : tuple of int
        Its shape.
    make : callable
        Returns it.
    """

    dtype: DTypeLike
    shape: tuple[int, ...]
    make: Callable[[], NDArray[Any]]


def stream_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Pending], metadata: Mapping[str, str]
) -> None:
    """Write named tensors, those of the larger type first, as the format's own library does.

    Parameters
    ----------
    path : path_like
        Where the file shall be; it appears whole or not at all.
    tensors : mapping of str to Pending
        The tensors.
    metadata : mapping of str to str
        Of the file.

    Raises
    ------
    FileFormatError
        When the format cannot hold one of them.
    OSError
        When the file cannot be written.
    """
    order = sorted(tensors.items(), key=lambda item: -np.dtype(item[1].dtype).itemsize)
    entries: dict[str, Any] = {}
    end = 0
    for name, tensor in order:
        kind = np.dtype(tensor.dtype)
        begin, end = end, end + kind.itemsize * int(np.prod(tensor.shape))
        refuse_unwritable(path, name, kind)
        entries[name] = {"dtype": stored_name(kind), "shape": list(tensor.shape), "data_offsets": [begin, end]}
    header = header_bytes(entries, dict(metadata))

    def write(stream: IO[bytes]) -> None:
        stream.write(header)
        for _, tensor in order:
            kind = np.dtype(tensor.dtype)
            values = np.ascontiguousarray(tensor.make(), kind.newbyteorder("<") if kind.byteorder == ">" else kind)
            stream.write(values.reshape(-1).view(np.uint8).data)

    atomic_write(path, write, len(header) + end)


def refuse_unwritable(path: str | os.PathLike[str], name: str, dtype: np.dtype[Any]) -> None:
    """Refuse a tensor that a .safetensors file cannot hold.

    Raises
    ------
    FileFormatError
        When its type is none of the format's, or its name is the header's own or no Unicode.
    """
    if stored_name(dtype) is None:
        raise FileFormatError(
            f"{os.fspath(path)}: a .safetensors file cannot hold {name!r} of type {dtype.name}: name it .npz"
        )
    if name == _METADATA or not _is_unicode(name):
        raise FileFormatError(f"{os.fspath(path)}: a .safetensors file can hold no tensor named {name!r}")


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
