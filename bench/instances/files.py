"""Instances from the user's own files."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.instances.errors import unknown
from bench.instances.instance import Instance
from bench.instances.naming import DEFAULT_PATTERN, join_pattern
from permsolve import Pattern
from permsolve.errors import FileFormatError
from permsolve.io.weight_file import open_weights, weights_of
from permsolve.weights import matrix_shape

_MARKS = str.maketrans("+~", "--")


def file_instances(
    path: Path, tensors: Iterable[str] | None = None, pattern: Pattern | str = DEFAULT_PATTERN
) -> list[Instance]:
    """The weights in a .npy, .npz or .safetensors file.

    Parameters
    ----------
    path : Path
        The file.
    tensors : iterable of str, optional
        Names of those wanted; all that can be permuted when not given.
    pattern : Pattern or str, default 2:4
        Their pattern.

    Raises
    ------
    UnknownInstanceError
        When the file has no tensor of this name.
    FileFormatError
        When it cannot be read, none of its tensors can be permuted, or one that was named cannot.
    OSError
        When it is missing or unreadable.
    """
    parsed = Pattern.parse(pattern)
    file = open_weights(path)
    infos = {info.name: info for info in file.tensors()}
    chosen = [info.name for info in weights_of(file)] if tensors is None else list(tensors)
    instances = []
    for name in chosen:
        if name not in infos:
            raise unknown(f"tensor in {path}:", name, infos)
        if infos[name].reason is not None:
            raise FileFormatError(f"{path}: {name!r} {infos[name].shape} cannot be permuted: {infos[name].reason}")
        # The name says which weight it is, wherever the file lies; marks of patterns and variants are not part of it.
        whole = (name if path.suffix.lower() == ".npy" else f"{path.stem}/{name}").translate(_MARKS)
        rows, columns = matrix_shape(infos[name].shape)
        make = partial(_read, path, name)
        known = path.stat()
        instances.append(
            Instance(
                join_pattern(whole, parsed),
                "file",
                rows,
                columns,
                parsed,
                make,
                source=str(path.resolve()),
                stamp=f"{known.st_size}-{known.st_mtime_ns}",
            )
        )
    return instances


def _read(path: Path, tensor: str) -> NDArray[Any]:
    return open_weights(path).read(tensor)
