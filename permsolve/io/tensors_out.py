"""Writing arrays as .npy, .npz or .safetensors, whole or not at all."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from permsolve.errors import FileFormatError
from permsolve.io.writing import atomic_write


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays in the format that the name's ending says.

    Parameters
    ----------
    path : path_like
        Ends in ``.npz`` or ``.safetensors``, or in ``.npy`` when there is just one array (its name is dropped).
    tensors : mapping of str to ndarray
        The arrays.
    metadata : mapping of str to str, optional
        Kept in a .safetensors file, dropped in others.

    Raises
    ------
    FileFormatError
        When the ending is another one, or .npy for several arrays.
    OSError
        When the file cannot be written.
    """
    target = Path(path)
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    suffix = target.suffix.lower()
    if suffix == ".npy" and len(arrays) == 1:
        (array,) = arrays.values()
        atomic_write(target, lambda stream: np.save(stream, array, allow_pickle=False))
    elif suffix == ".npz":
        # Through the format's own writer: names such as "file" would clash with arguments of savez.
        atomic_write(target, lambda stream: _write_npz(stream, arrays))
    elif suffix == ".safetensors":
        data = save(arrays, metadata=dict(metadata) if metadata else None)
        atomic_write(target, lambda stream: stream.write(data))
    else:
        raise FileFormatError(f"{target}: cannot write {len(arrays)} arrays there: name it .npz or .safetensors")


def _write_npz(stream: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
