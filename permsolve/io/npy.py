"""Reading .npy and .npz without ever unpickling."""

import zipfile
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading
from permsolve.io.tensor_info import TensorInfo
from permsolve.weights import is_real


class NpyFile:
    """A .npy file: one tensor without a name, read as a memory map."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as stream:  # missing and unreadable files are OSErrors of their own
            magic = stream.read(len(npy_format.MAGIC_PREFIX))
        if magic != npy_format.MAGIC_PREFIX:
            raise FileFormatError(f"{path}: not a .npy array: write one with numpy.save (pickles are never loaded)")
        with reading(path, "a .npy array"):
            self._array = _as_stored(np.load(path, mmap_mode="r", allow_pickle=False))

    def tensors(self) -> list[TensorInfo]:
        """The one tensor."""
        array = self._array
        return [TensorInfo.of(self.path.stem, array.shape, array.dtype.name, real=is_real(array.dtype))]

    def read(self, name: str) -> NDArray[Any]:
        """The array, still a memory map."""
        return self._array


class NpzFile:
    """A .npz archive: named tensors, each read when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path, "a .npz archive"), zipfile.ZipFile(path) as archive:
            self._infos = [
                _describe(path, archive, member) for member in archive.infolist() if member.filename.endswith(".npy")
            ]

    def tensors(self) -> list[TensorInfo]:
        """All arrays of the archive, in its order."""
        return self._infos

    def read(self, name: str) -> NDArray[Any]:
        """Load one array."""
        with (
            reading(self.path, "a .npz archive"),
            self.path.open("rb") as stream,
            np.load(stream, allow_pickle=False) as archive,
        ):
            return _as_stored(archive[name])


def _describe(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> TensorInfo:
    with archive.open(member) as stream:
        shape, dtype = _header(stream)
        header = stream.tell()
    # A header may claim any size; only what is really there will be read.
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if not dtype.hasobject and claimed != member.file_size - header:
        raise FileFormatError(
            f"{path}: array {member.filename!r} claims {claimed} bytes, the archive holds {member.file_size - header}"
        )
    dtype = _bfloat16_if_void(dtype)
    name = member.filename.removesuffix(".npy")
    return TensorInfo.of(name, shape, dtype.name, real=is_real(dtype))


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy_format.read_magic(stream)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def _as_stored(array: NDArray[Any]) -> NDArray[Any]:
    return array.view(_bfloat16_if_void(array.dtype))


def _bfloat16_if_void(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Numpy writes ml_dtypes' bfloat16 as raw two-byte items: read those as what they were."""
    return np.dtype(ml_dtypes.bfloat16) if dtype.kind == "V" and dtype.itemsize == 2 and not dtype.names else dtype
