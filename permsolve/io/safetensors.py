"""Reading .safetensors lazily, tensor by tensor."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading
from permsolve.io.safetensors_header import read_header
from permsolve.io.safetensors_types import TYPES
from permsolve.io.stamp import Stamp
from permsolve.io.tensor_info import TensorInfo


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor lies in its file."""

    stored: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile:
    """A .safetensors file: named tensors in a memory map, each read when it is looked at.

    It stays readable when the file is deleted meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path, "a .safetensors file"), path.open("rb") as stream:
            self._stamp = Stamp.of(stream)
            with safe_open(str(path), framework="numpy") as file:  # which checks all of the header
                self.metadata: dict[str, str] = file.metadata() or {}
                names = list(file.keys())
            entries, start = read_header(stream, path)
            self._places = {name: _place(entries[name], start) for name in names}
            self._bytes = np.memmap(stream, np.uint8, "r")

    def tensors(self) -> list[TensorInfo]:
        """All tensors of the file."""
        return [
            TensorInfo.of(name, place.shape, TYPES.get(place.stored, place.stored))
            for name, place in self._places.items()
        ]

    def read(self, name: str) -> NDArray[Any]:
        """One tensor as it lies in the file, read-only, read when it is looked at."""
        self._stamp.check(self.path)
        place = self._places[name]
        dtype = TYPES.get(place.stored)
        if dtype is None:
            raise FileFormatError(
                f"{self.path}: {name!r} has type {place.stored}, which neither numpy nor .npz can hold: where it is "
                "only to be copied, write a .safetensors file"
            )
        tensor: NDArray[Any] = self._bytes[place.begin : place.end].view(dtype).reshape(place.shape)
        return np.require(tensor, requirements="A")  # headers of any length: kernels need aligned numbers


def _place(entry: dict[str, Any], start: int) -> _Place:
    begin, end = (start + int(offset) for offset in entry["data_offsets"])
    return _Place(str(entry["dtype"]), tuple(int(extent) for extent in entry["shape"]), begin, end)
