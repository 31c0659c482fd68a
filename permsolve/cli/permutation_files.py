"""Reading permutations that were saved: arrays, results, or several of them by tensor name."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

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

_Known = TypeVar("_Known")


@dataclass(frozen=True, slots=True)
class SavedPermutations:
    """What a file of permutations holds.

    Attributes
    ----------
    permutations : dict of str or None to ndarray of int64
        One permutation (named None), or several by tensor name.
    pattern : Pattern or None
        The pattern they were solved for, where the file says it.
    saliency : str or None
        Name of the saliency they were solved for, where the file says it.
    """

    permutations: dict[str | None, NDArray[np.int64]]
    pattern: Pattern | None = None
    saliency: str | None = None


def read_permutations(path: str | os.PathLike[str]) -> SavedPermutations:
    """Read one permutation or several by tensor name.

    Parameters
    ----------
    path : path_like
        A .npy array, a .json or .npz :class:`permsolve.Result`, a .json of several results, or a .npz or
        .safetensors file of named permutations.

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
        return _of_results({None: Result.load(source)})
    if isinstance(file, NpyFile):
        return SavedPermutations({None: _checked(source, file.read(names[0]))})
    if not names:
        raise FileFormatError(f"{source}: holds no permutation")
    return SavedPermutations({name: _checked(source, file.read(name), name) for name in names})


def _from_json(source: Path, document: Any) -> SavedPermutations:
    if not isinstance(document, dict) or not isinstance(document.get("tensors", {}), dict):
        raise FileFormatError(f"{source}: not a permsolve result")
    try:
        if "tensors" not in document:
            return _of_results({None: Result.from_dict(document)})
        results: dict[str | None, Result] = {name: Result.from_dict(one) for name, one in document["tensors"].items()}
    except FileFormatError as error:  # a document does not know its file
        raise FileFormatError(f"{source}: {error}") from error
    if not results:
        raise FileFormatError(f"{source}: holds no permutation")
    return _of_results(results)


def _of_results(results: dict[str | None, Result]) -> SavedPermutations:
    return SavedPermutations(
        {name: result.permutation for name, result in results.items()},
        _agreed(result.pattern for result in results.values()),
        _agreed(result.saliency for result in results.values()),
    )


def _agreed(values: Iterable[_Known | None]) -> _Known | None:
    """What all say, None where they differ."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _checked(source: Path, array: NDArray[Any], name: str | None = None) -> NDArray[np.int64]:
    with naming(source, name):
        return check_permutation(array, array.shape[0] if array.ndim == 1 else -1)
