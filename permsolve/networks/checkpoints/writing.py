"""Writing a changed model in the shards, names and types that it came in."""

import filecmp
import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from permsolve.io.safetensors_copy import copy_safetensors
from permsolve.networks.checkpoints.comparing import same
from permsolve.networks.checkpoints.files import OtherFiles
from permsolve.networks.checkpoints.loading import Loaded
from permsolve.networks.checkpoints.stored import stored_form


def write_checkpoint(loaded: Loaded, files: OtherFiles, target: Path) -> None:
    """Write a folder with the model's weights as they are now in place of those that it was loaded from.

    Shards, index, names, types and metadata stay as they are, and tensors that did not change byte for byte.

    Parameters
    ----------
    loaded : Loaded
        The model, changed since.
    files : OtherFiles
        What lies beside its weights.
    target : Path
        A folder, made here.

    Raises
    ------
    OSError
        When something cannot be written, or is not there afterwards as it was written.
    """
    source, left_out = loaded.folder, loaded.tensors.left_out
    target.mkdir(parents=True)
    for file in files.copied:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        if file == Path(source.index or "") and left_out:
            _write_index(source.path / file, target / file, left_out)
            continue
        shutil.copy2(source.path / file, target / file)
        if not filecmp.cmp(source.path / file, target / file, shallow=False):
            raise OSError(f"{target / file}: it was not written as it is: nothing is kept")
    form = stored_form(loaded.model, source)
    for shard, types in source.shards.items():
        with safe_open(str(source.path / shard), framework="pt") as old:
            followed = [name for name in types if name in loaded.tensors.followed]
            replaced = _replaced(followed, old.get_tensor, form)
        if not types or not left_out.issuperset(types):
            copy_safetensors(source.path / shard, target / shard, replaced, left_out)


def _replaced(
    names: list[str], stored: Callable[[str], Tensor], form: Mapping[str, Tensor]
) -> dict[str, Callable[[], NDArray[Any]]]:
    """For each tensor that has changed, a function that returns its bytes."""
    replaced: dict[str, Callable[[], NDArray[Any]]] = {}
    for name in names:
        old = stored(name)
        if not same(old, form[name].to(old.dtype)):
            replaced[name] = partial(_bytes, form[name], old.dtype)
    return replaced


def _bytes(tensor: Tensor, dtype: torch.dtype) -> NDArray[Any]:
    """A tensor as bytes: numpy does not know all of torch's types."""
    array: NDArray[Any] = tensor.detach().to(dtype).contiguous().reshape(-1).view(torch.uint8).numpy()
    return array


def _write_index(source: Path, target: Path, left_out: frozenset[str]) -> None:
    """The index of the shards without some tensors."""
    index = json.loads(source.read_text(encoding="utf-8"))
    index["weight_map"] = {name: shard for name, shard in index["weight_map"].items() if name not in left_out}
    index["metadata"] = {name: value for name, value in index.get("metadata", {}).items() if "total" not in name}
    target.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
