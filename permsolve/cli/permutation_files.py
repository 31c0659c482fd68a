"""Reading permutations that were saved: arrays, results, or several of them by tensor name."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.cli.naming import naming
from permsolve.errors import FileFormatError
from permsolve.io.npy import NpyFile
from permsolve.io.reading import reading
from permsolve.io.weight_file import open_weights
from permsolve.pattern import Pattern
from permsolve.permutation import check_permutation
from permsolve.result import Result

Permutations = dict[str | None, NDArray[np.int64]]


def read_permutations(path: str | os.PathLike[str]) -> tuple[Permutations, Pattern | None]:
    """Read one permutation (named None) or several by tensor name.

    Parameters
    ----------
    path : path_like
        A .npy array, a .json or .npz :class:`permsolve.Result`, a .json of several results, or a .npz or
        .safetensors file of named permutations.

    Returns
    -------
    permutations : dict of str or None to ndarray of int64
        The permutations.
    pattern : Pattern or None
        The pattern they were solved for, where the file says it.

    Raises
    ------
    FileFormatError
        When the file holds no permutation.
    OSError
        When it cannot be read.
    """
    source = Path(path)
    suffix = source.suffix.lower()
    if suffix == ".json":
        with reading(source, "a JSON result"):
            document = json.loads(source.read_bytes())
        return _from_json(source, document)
    file = open_weights(source)
    names = [info.name for info in file.tensors()]
    if suffix == ".npz" and "result" in names and "permutation" in names:
        result = Result.load(source)
        return {None: result.permutation}, result.pattern
    if isinstance(file, NpyFile):
        return {None: _checked(source, file.read(names[0]))}, None
    if not names:
        raise FileFormatError(f"{source}: holds no permutation")
    return {name: _checked(source, file.read(name), name) for name in names}, None


def _from_json(source: Path, document: Any) -> tuple[Permutations, Pattern | None]:
    if not isinstance(document, dict) or not isinstance(document.get("tensors", {}), dict):
        raise FileFormatError(f"{source}: not a permsolve result")
    try:
        if "tensors" not in document:
            result = Result.from_dict(document)
            return {None: result.permutation}, result.pattern
        results = {name: Result.from_dict(one) for name, one in document["tensors"].items()}
    except FileFormatError as error:  # a document does not know its file
        raise FileFormatError(f"{source}: {error}") from error
    if not results:
        raise FileFormatError(f"{source}: holds no permutation")
    patterns = {result.pattern for result in results.values()}
    pattern = patterns.pop() if len(patterns) == 1 else None
    return {name: result.permutation for name, result in results.items()}, pattern


def _checked(source: Path, array: NDArray[Any], name: str | None = None) -> NDArray[np.int64]:
    with naming(source, name):
        return check_permutation(array, array.shape[0] if array.ndim == 1 else -1)
