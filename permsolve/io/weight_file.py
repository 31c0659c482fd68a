"""Weights from any file that permsolve reads."""

import os
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from permsolve.errors import FileFormatError
from permsolve.io.npy import NpyFile, NpzFile
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
        When its name has another ending, or it is not what its name says.
    OSError
        When it is missing, unreadable or a folder.
    """
    source = Path(path)
    kind = _KINDS.get(source.suffix.lower())
    if kind is None:
        raise FileFormatError(f"{source}: cannot tell its format: name it {', '.join(_KINDS)}")
    return kind(source)


def choose_tensor(file: WeightFile, name: str | None) -> TensorInfo:
    """The tensor called ``name``, or the only eligible one when no name is given.

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
    eligible = eligible_tensors(file)
    if len(eligible) > 1:
        names = _listed([info.name for info in eligible])
        raise FileFormatError(f"{file.path}: holds {len(eligible)} weights, name one of them by --tensor: {names}")
    return eligible[0]


def eligible_tensors(file: WeightFile) -> list[TensorInfo]:
    """All tensors whose columns can be permuted.

    Raises
    ------
    FileFormatError
        When there is none.
    """
    infos = file.tensors()
    eligible = [info for info in infos if info.eligible]
    if eligible:
        return eligible
    if len(infos) == 1:
        raise FileFormatError(f"{file.path}: shape {infos[0].shape} cannot be permuted: {infos[0].reason}")
    raise FileFormatError(f"{file.path}: none of its {len(infos)} tensors can be permuted")


def _listed(names: list[str], limit: int = 8) -> str:
    shown = ", ".join(names[:limit]) or "nothing"
    return f"{shown}, ..." if len(names) > limit else shown
