"""Writing a changed model in the shards, names and types that it came in."""

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from permsolve.errors import FileFormatError
from permsolve.io.safetensors_copy import copy_safetensors
from permsolve.networks.checkpoints.folder import CheckpointFolder


def write_checkpoint(model: Any, source: CheckpointFolder, target: Path, scratch: Path) -> None:
    """Write all files of the folder to another, with the weights of ``model`` in place of its own.

    Shards, index, names, types and metadata stay as they are, and tensors that did not change byte for byte.
    Weights in other formats are left out, since they would be out of date.

    Parameters
    ----------
    model : PreTrainedModel
        A model of `transformers`, loaded from the folder, then changed.
    source : CheckpointFolder
        Where it came from.
    target : Path
        A folder, made here.
    scratch : Path
        A folder for intermediate files, made here and to be removed by the caller: as large as the weights.

    Raises
    ------
    FileFormatError
        When a tensor of the checkpoint cannot be told from its name.
    """
    target.mkdir(parents=True)
    copied, _ = source.other_files()
    for file in copied:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.path / file, target / file)
    # transformers alone knows how its parameters are called and split in a file.
    model.save_pretrained(scratch, safe_serialization=True, max_shard_size="1000TB")
    (saved,) = scratch.glob("*.safetensors")
    in_memory = model.state_dict()
    ignored = [re.compile(text) for text in model._keys_to_ignore_on_load_unexpected or ()]
    with safe_open(str(saved), framework="pt") as new:
        names = set(new.keys())

        def values(name: str) -> Tensor:
            # Of tied tensors only one is saved.
            tensor: Tensor = new.get_tensor(name) if name in names else in_memory[name]
            return tensor

        for shard, types in source.shards.items():
            replaced: dict[str, Callable[[], NDArray[Any]]] = {}
            with safe_open(str(source.path / shard), framework="pt") as old:
                for name in types:
                    if name in names or name in in_memory:
                        stored = old.get_tensor(name)
                        if not torch.equal(stored, values(name).to(stored.dtype)):
                            replaced[name] = partial(_bytes, values, name, stored.dtype)
                    elif not any(pattern.search(name) for pattern in ignored):
                        raise FileFormatError(
                            f"{source.path}: {name!r} is stored under a name that transformers no longer writes: "
                            "load the model and save it again with model.save_pretrained(folder)"
                        )
            copy_safetensors(source.path / shard, target / shard, replaced)


def _bytes(values: Callable[[str], Tensor], name: str, dtype: torch.dtype) -> NDArray[Any]:
    """A tensor as bytes: numpy does not know all of torch's types."""
    array: NDArray[Any] = values(name).detach().to(dtype).contiguous().reshape(-1).view(torch.uint8).numpy()
    return array
