"""The tensors of a checkpoint, each with what becomes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from permsolve.errors import FileFormatError
from permsolve.networks.checkpoints.comparing import same
from permsolve.networks.checkpoints.files import Wishes, matches
from permsolve.networks.checkpoints.folder import CheckpointFolder
from permsolve.networks.checkpoints.foreign import calling_package
from permsolve.networks.checkpoints.independence import independent

_RESAVE = "load the model and save it again with model.save_pretrained(folder)"


@dataclass(frozen=True, slots=True)
class StoredTensors:
    """What becomes of each tensor in the model's own files.

    Attributes
    ----------
    followed : frozenset of str
        Those of the model, which follow its permutation.
    copied : frozenset of str
        Those that the model does not read and that stay as they are, since no permutation concerns them.
    left_out : frozenset of str
        Those that the output does not have, as the user wishes.
    """

    followed: frozenset[str]
    copied: frozenset[str]
    left_out: frozenset[str]

    @property
    def unused(self) -> frozenset[str]:
        """All that the model does not read."""
        return self.copied | self.left_out


def stored_form(model: Any, folder: CheckpointFolder) -> dict[str, Tensor]:
    """The tensors of a model by the names, and in the forms, in which its checkpoint stores them.

    Those that were loaded under their own names are there under these, too; so are all names of tied tensors.
    """
    from transformers.core_model_loading import revert_weight_conversion

    state: dict[str, Tensor] = model.state_dict()
    with calling_package(folder.path, "transformers cannot write its tensors in the form they came in", _RESAVE):
        reverted: dict[str, Tensor] = revert_weight_conversion(model, dict(state))
    return state | reverted


def account_for_tensors(folder: CheckpointFolder, model: Any, wishes: Wishes) -> StoredTensors:
    """Decide about every tensor in the files of a model that was loaded from them, and not changed since.

    Raises
    ------
    FileFormatError
        When a tensor would be lost or out of step; it names the tensor.
    """
    kept: dict[str, set[str]] = {"followed": set(), "copied": set(), "left_out": set()}
    form = stored_form(model, folder)
    for shard, types in folder.shards.items():
        with safe_open(str(folder.path / shard), framework="pt") as file:
            for name in types:
                stored = partial(file.get_tensor, name)
                kept[_fate(folder.path / shard, name, stored, form, model, wishes)].add(name)
    return StoredTensors(*(frozenset(kept[fate]) for fate in ("followed", "copied", "left_out")))


def _fate(
    shard: Path,
    name: str,
    stored: Callable[[], Tensor],
    form: Mapping[str, Tensor],
    model: Any,
    wishes: Wishes,
) -> str:
    """What becomes of one tensor."""
    if name in form:
        if not same(stored(), form[name].to(stored().dtype)):
            raise FileFormatError(
                f"{shard}: {name!r} has other values than {type(model).__name__} loads for it, so that "
                f"it could not follow a permutation: {_RESAVE}"
            )
        return "followed"
    if matches(name, wishes.leave_out):
        return "left_out"
    if matches(name, wishes.unchanged) or independent(name, stored(), model):
        return "copied"
    raise FileFormatError(
        f"{shard}: {type(model).__name__} does not use {name!r} {list(stored().shape)}, which therefore "
        f"could not follow a permutation: leave it out with --leave-out {_glob(name)!r}, copy it as it is with "
        f"--unchanged {_glob(name)!r} if it reads nothing but inputs and outputs of the model, or, if the model has it "
        f"under another name, {_RESAVE}"
    )


def _glob(name: str) -> str:
    """A glob of the tensors that a tensor belongs with."""
    first, dot, _ = name.partition(".")
    return name if first in ("model", "transformer") or not dot else f"{first}.*"


def compare_with_stored(
    folder: CheckpointFolder, form: Mapping[str, Tensor], followed: frozenset[str], *, zeros: bool
) -> str | None:
    """The first tensor whose values are not those of the checkpoint, bit for bit; None where there is none.

    Parameters
    ----------
    folder : CheckpointFolder
        The checkpoint.
    form : mapping of str to Tensor
        What is compared, as :func:`stored_form` returns it.
    followed : frozenset of str
        The tensors that are compared.
    zeros : bool
        Whether entries may be zero instead (pruned).
    """
    for shard, types in folder.shards.items():
        with safe_open(str(folder.path / shard), framework="pt") as file:
            for name in types:
                if name not in followed:
                    continue
                stored = file.get_tensor(name)
                found = form[name].to(stored.dtype)
                if zeros and found.shape == stored.shape:
                    found = torch.where(found == 0, stored, found)
                if not same(found, stored):
                    return name
    return None
