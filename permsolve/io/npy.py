"""Reading .npy and .npz without ever unpickling."""

import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading
from permsolve.io.stamp import Stamp
from permsolve.io.tensor_info import TensorInfo


class NpyFile:
    """A .npy file: one tensor without a name, read as a memory map."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Tensors of other formats have names of Unicode; this one's need not be one.
        self._name = os.fsencode(path.stem).decode("utf-8", "replace")
        with path.open("rb") as stream:  # missing and unreadable files are OSErrors of their own
            self._stamp = Stamp.of(stream)
            magic = stream.read(len(npy_format.MAGIC_PREFIX))
        if magic != npy_format.MAGIC_PREFIX:
            raise FileFormatError(f"{path}: not a .npy array: write one with numpy.save (pickles are never loaded)")
        with reading(path, "a .npy array"):
            self._array = _as_stored(np.load(path, mmap_mode="r", allow_pickle=False))

    def tensors(self) -> list[TensorInfo]:
        """The one tensor."""
        return [TensorInfo.of(self._name, self._array.shape, self._array.dtype)]

    def read(self, name: str) -> NDArray[Any]:
        """The array, still a memory map."""
        self._stamp.check(self.path)
        return self._array


class NpzFile:
    """A .npz archive: named tensors, each read when asked for.

    It stays readable when the file is deleted meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path, "a .npz archive"):
            self._archive = zipfile.ZipFile(path)  # closes itself when it is no longer needed
            assert self._archive.fp is not None
            self._stamp = Stamp.of(self._archive.fp)
            members = [member for member in self._archive.infolist() if member.filename.endswith(".npy")]
            self._members = {member.filename.removesuffix(".npy"): member for member in members}
            if len(self._members) < len(members):
                (twice, _), *_ = Counter(member.filename.removesuffix(".npy") for member in members).most_common(1)
                raise FileFormatError(f"{path}: holds several arrays named {twice!r}: save it again with one of each")
            headers = {name: _checked(path, self._archive, member) for name, member in self._members.items()}
            self._objects = {name for name, (_, dtype) in headers.items() if dtype.hasobject}
            self._infos = [TensorInfo.of(name, shape, dtype) for name, (shape, dtype) in headers.items()]

    def tensors(self) -> list[TensorInfo]:
        """All arrays of the archive, in its order."""
        return self._infos

    def read(self, name: str) -> NDArray[Any]:
        """Load one array."""
        self._stamp.check(self.path)
        if name in self._objects:
            raise FileFormatError(
                f"{self.path}: {name!r} holds pickled objects, which are never loaded: save plain numeric arrays "
                "instead, or choose another array by --tensor"
            )
        with reading(self.path, "a .npz archive"), self._archive.open(self._members[name]) as stream:
            return _as_stored(npy_format.read_array(stream, allow_pickle=False))


def _checked(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, from its header."""
    with archive.open(member) as stream:
        shape, dtype = _header(stream)
        header = stream.tell()
    # A header may claim any size; only what is really there will be read.
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if not dtype.hasobject and claimed != member.file_size - header:
        raise FileFormatError(
            f"{path}: array {member.filename!r} claims {claimed} bytes, the archive holds {member.file_size - header}"
        )
    return shape, _bfloat16_if_void(dtype)


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
