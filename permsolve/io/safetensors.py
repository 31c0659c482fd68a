"""Reading .safetensors lazily, tensor by tensor."""

from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16 with numpy)
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading
from permsolve.io.safetensors_header import read_header
from permsolve.io.tensor_info import TensorInfo

# Names of the format's types that numpy (with ml_dtypes) can hold, in numpy's words.
_REAL = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
}


class SafetensorsFile:
    """A .safetensors file: named tensors, memory mapped by the library, each read when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb"):
            pass
        with reading(path, "a .safetensors file"), safe_open(str(path), framework="numpy") as file:
            self.metadata: dict[str, str] = file.metadata() or {}
            self._infos = []
            for name in file.keys():  # noqa: SIM118  (the file object is no dict)
                piece = file.get_slice(name)
                stored = piece.get_dtype()
                self._infos.append(
                    TensorInfo.of(name, tuple(piece.get_shape()), _REAL.get(stored, stored), real=stored in _REAL)
                )

    def tensors(self) -> list[TensorInfo]:
        """All tensors of the file."""
        return self._infos

    def read(self, name: str) -> NDArray[Any]:
        """Load one tensor."""
        with reading(self.path, "a .safetensors file"), safe_open(str(self.path), framework="numpy") as file:
            try:
                tensor: NDArray[Any] = file.get_tensor(name)
            except AttributeError as error:  # what the library says of a type that numpy lacks
                kind = file.get_slice(name).get_dtype()
                raise FileFormatError(
                    f"{self.path}: {name!r} has type {kind}, which neither numpy nor .npz can hold: where it is only "
                    "to be copied, write a .safetensors file"
                ) from error
            return tensor

    def map(self, name: str) -> NDArray[Any]:
        """One tensor as it lies in the file, read-only, read when it is looked at; its type must be one of numpy's."""
        with reading(self.path, "a .safetensors file"), self.path.open("rb") as stream:
            entries, start = read_header(stream, self.path)
            entry = entries[name]
            tensor: NDArray[Any] = np.memmap(
                stream, _REAL[entry["dtype"]], "r", start + entry["data_offsets"][0], tuple(entry["shape"])
            )
            return tensor
