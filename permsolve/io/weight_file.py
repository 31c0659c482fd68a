"""Weights from any file that permsolve reads."""

import os
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from permsolve.errors import FileFormatError
from permsolve.io.npy import NpyFile, NpzFile
from permsolve.io.reading import refuse_pipes
from permsolve.io.safetensors import SafetensorsFile
from permsolve.io.tensor_info import TensorInfo


class WeightFile(Protocol):
    """A file of tensors."""

    path: Path

    def tensors(self) -> list[TensorInfo]:
        """What it holds."""
        ...

    def read(self, name: str) -> NDArray[Any]:
        """One of its tensors."""
        ...


_KINDS: dict[str, type[NpyFile] | type[NpzFile] | type[SafetensorsFile]] = {
    ".npy": NpyFile,
    ".npz": NpzFile,
    ".safetensors": SafetensorsFile,
}


def open_weights(path: str | os.PathLike[str]) -> WeightFile:
    """Open a .npy, .npz or .safetensors file; no tensor is loaded yet.

    Raises
    ------
    FileFormatError
        When it is a named pipe, its name has another ending, or it is not what its name says.
    OSError
        When it is missing, unreadable or a folder.
    """
    source = Path(path)
    refuse_pipes(source)
    kind = _KINDS.get(source.suffix.lower())
    if kind is None:
        raise FileFormatError(f"{source}: cannot tell its format: name it {', '.join(_KINDS)}")
    return kind(source)


def choose_tensor(file: WeightFile, name: str | None) -> TensorInfo:
    """The tensor called ``name``, or the only weight when no name is given (see :func:`weights_of`).

    Raises
    ------
    FileFormatError
        When there is no such tensor, it is not eligible, or there are several to choose from.
    """
    infos = file.tensors()
    if name is not None:
        for info in infos:
            if info.name == name:
                if info.reason is not None:
                    raise FileFormatError(f"{file.path}: {name!r} {info.shape} cannot be permuted: {info.reason}")
                return info
        raise FileFormatError(f"{file.path}: no tensor {name!r}; it holds {_listed([info.name for info in infos])}")
    found = weights_of(file)
    if len(found) > 1:
        names = _listed([info.name for info in found])
        raise FileFormatError(f"{file.path}: holds {len(found)} weights, name one of them by --tensor: {names}")
    return found[0]


def weights_of(file: WeightFile) -> list[TensorInfo]:
    """All tensors whose columns can be permuted and that nobody need name.

    A tensor of integers beside others may be a table, indices or packed codes: it is a weight only when somebody says
    so. One that is alone in its file is meant.

    Raises
    ------
    FileFormatError
        When there is none.
    """
    infos = file.tensors()
    found = [info for info in infos if info.eligible and (not info.integer or len(infos) == 1)]
    if found:
        return found
    if len(infos) == 1:
        raise FileFormatError(f"{file.path}: shape {infos[0].shape} cannot be permuted: {infos[0].reason}")
    said = f"{file.path}: none of its {len(infos)} tensors can be permuted"
    integers = [info.name for info in infos if info.eligible]
    if integers:
        said += f" without being named, as integers are no weights by themselves: give --tensor ({_listed(integers)})"
    elif unread := [f"{info.name} ({info.dtype})" for info in infos if info.unread]:
        said += f": {_listed(unread)}"
    raise FileFormatError(said)


def _listed(names: list[str], limit: int = 8) -> str:
    shown = ", ".join(names[:limit]) or "nothing"
    return f"{shown}, ..." if len(names) > limit else shown
