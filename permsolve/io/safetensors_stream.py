"""Writing a .safetensors file tensor by tensor, with one of them in memory at a time."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from permsolve.io.safetensors_header import header_bytes
from permsolve.io.writing import atomic_write

_NAMES = {np.dtype(np.float64): "F64", np.dtype(np.float32): "F32"}


@dataclass(frozen=True, slots=True)
class Pending:
    """A tensor that is made when it is written.

    Attributes
    ----------
    dtype : dtype_like
        float64 or float32.
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
    OSError
        When the file cannot be written.
    """
    order = sorted(tensors.items(), key=lambda item: -np.dtype(item[1].dtype).itemsize)
    entries: dict[str, Any] = {}
    end = 0
    for name, tensor in order:
        kind = np.dtype(tensor.dtype)
        begin, end = end, end + kind.itemsize * int(np.prod(tensor.shape))
        entries[name] = {"dtype": _NAMES[kind], "shape": list(tensor.shape), "data_offsets": [begin, end]}

    def write(stream: IO[bytes]) -> None:
        stream.write(header_bytes(entries, dict(metadata)))
        for _, tensor in order:
            values = np.ascontiguousarray(tensor.make(), tensor.dtype)
            stream.write(values.reshape(-1).view(np.uint8).data)

    atomic_write(path, write)
