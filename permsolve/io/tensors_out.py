"""Writing arrays as .npy, .npz or .safetensors, whole or not at all."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from permsolve.errors import FileFormatError
from permsolve.io.safetensors_stream import Pending, refuse_unwritable, stream_safetensors
from permsolve.io.writing import atomic_write

# What a name and the description of an array take beside its bytes, at most, in any of the formats.
_BESIDE = 1024
_CAN_HOLD_SEVERAL = (".npz", ".safetensors")


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays in the format that the name's ending says.

    Parameters
    ----------
    path : path_like
        Ends in ``.npz`` or ``.safetensors``, or in ``.npy`` when there is just one array (its name is dropped); an
        :class:`permsolve.io.writing.Output` where its place is held already.
    tensors : mapping of str to ndarray
        The arrays.
    metadata : mapping of str to str, optional
        Kept in a .safetensors file, dropped in others.

    Raises
    ------
    FileFormatError
        When the ending is another one, or .npy for several arrays, or the format cannot hold one of them.
    OSError
        When the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    refuse_unheld(path, {name: array.dtype for name, array in arrays.items()})
    if suffix == ".npy":
        (array,) = arrays.values()
        atomic_write(path, lambda stream: np.lib.format.write_array(stream, array, allow_pickle=False))
    elif suffix == ".npz":
        # Through the format's own writer: names such as "file" would clash with arguments of savez.
        atomic_write(path, lambda stream: _write_npz(stream, arrays))
    else:
        stream_safetensors(path, {name: _pending(array) for name, array in arrays.items()}, metadata or {})


def refuse_unheld(path: str | os.PathLike[str], dtypes: Mapping[str, np.dtype[Any]]) -> None:
    """Refuse arrays that the format which the name's ending says cannot hold.

    Raises
    ------
    FileFormatError
        With the first of them, and what to do.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (".npy", *_CAN_HOLD_SEVERAL) or (suffix == ".npy" and len(dtypes) != 1):
        raise FileFormatError(f"{target}: cannot write {len(dtypes)} arrays there: name it .npz or .safetensors")
    for name, dtype in dtypes.items():
        if suffix == ".safetensors":
            refuse_unwritable(path, name, dtype)
        elif dtype.hasobject:
            raise FileFormatError(f"{target}: {name!r} holds Python objects (Object arrays), which are never pickled")
        elif not _kept_by_numpy(dtype):
            raise FileFormatError(
                f"{target}: {name!r} has type {dtype.name}, which neither .npy nor .npz can hold: write a "
                ".safetensors file"
            )
        elif suffix == ".npz" and "\0" in name:
            raise FileFormatError(f"{target}: a .npz file can hold no array named {name!r}")


def _kept_by_numpy(dtype: np.dtype[Any]) -> bool:
    """Whether numpy's formats say what type they hold: of ml_dtypes' types they do not, but bfloat16 is told again."""
    if dtype == ml_dtypes.bfloat16 or dtype.hasobject:
        return True
    try:
        return bool(np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype)) == dtype)
    except TypeError:  # what it would write is nothing that it reads
        return False


def space_for(arrays: Mapping[str, int]) -> int:
    """Bytes that a file with arrays of so many bytes takes at most, whatever its format."""
    return sum(size + len(name.encode(errors="replace")) * 2 + _BESIDE for name, size in arrays.items()) + _BESIDE


def _pending(array: NDArray[Any]) -> Pending:
    return Pending(array.dtype, array.shape, lambda: array)


def _write_npz(stream: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
