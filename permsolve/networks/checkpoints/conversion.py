"""From one checkpoint folder to another."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from permsolve.errors import InvalidOptionError
from permsolve.networks.checkpoints.folder import CheckpointFolder
from permsolve.networks.checkpoints.loading import load_model
from permsolve.networks.checkpoints.resuming import ResumingExecutor
from permsolve.networks.checkpoints.writing import write_checkpoint
from permsolve.networks.prunable import NameFilter, prunable_weights

_Outcome = TypeVar("_Outcome")


def convert(
    source: Path,
    target: Path,
    change: Callable[[Any, CheckpointFolder, ResumingExecutor], _Outcome],
    *,
    force: bool,
    on_done: Callable[[], None] | None,
) -> _Outcome:
    """Load the model of a folder, change it in place, and write a folder with the same shards, names and types.

    Solved axes are kept beside the target until it is complete (``.NAME.permsolve``), and a run with the same
    arguments goes on from there. The target appears whole or not at all, and is read back and compared.

    Parameters
    ----------
    source, target : Path
        The folder to read, and the one to write.
    change : callable
        Given the model, the folder that it comes from and the executor that solves axes.
    force : bool
        Whether to replace a target that exists.
    on_done : callable or None
        Called after each axis.

    Returns
    -------
    object
        What ``change`` returns.

    Raises
    ------
    InvalidOptionError
        When the target exists, or is the source or a part of it.
    FileFormatError
        When the source cannot be read.
    MissingPackageError
        When `transformers` is not installed.
    """
    _check_target(source, target, force)
    folder = CheckpointFolder.open(source)
    model = load_model(folder)
    work = target.parent / f".{target.name}.permsolve"
    outcome = change(model, folder, ResumingExecutor(work / "solved", on_done))
    for leftover in ("new", "scratch"):
        shutil.rmtree(work / leftover, ignore_errors=True)
    write_checkpoint(model, folder, work / "new", work / "scratch")
    _compare(model, work / "new")
    _replace(work / "new", target)
    shutil.rmtree(work)
    return outcome


def _check_target(source: Path, target: Path, force: bool) -> None:
    if not target.parent.is_dir():
        raise InvalidOptionError(f"{target}: the folder {target.parent} does not exist")
    inside = target.resolve()
    if source.resolve() in (inside, *inside.parents) or inside in source.resolve().parents:
        raise InvalidOptionError(f"{target}: that is the input, a part of it, or around it; choose another folder")
    if target.exists() and not force:
        raise InvalidOptionError(f"{target}: exists already: choose another folder, or replace it with --force")
    if target.exists() and not (target.is_dir() and not target.is_symlink()):
        raise InvalidOptionError(f"{target}: that is no folder; choose another name")


def chosen_layers(model: Any, include: NameFilter | None, exclude: NameFilter | None) -> Callable[[str], bool]:
    """Which layers of a model count, by their names.

    Unless ``include`` is given, the output embedding (the head of a language model) is left out.
    """
    head = model.get_output_embeddings() if include is None else None
    weights = prunable_weights(model, include, exclude)
    chosen = {weight.module_name for weight in weights if weight.module is not head}
    return chosen.__contains__


def _compare(model: torch.nn.Module, written: Path) -> None:
    """Read back what was written: it must hold exactly the weights of the model."""
    again = load_model(CheckpointFolder.open(written)).state_dict()
    for name, tensor in model.state_dict().items():
        if not torch.equal(tensor, again[name]):
            raise OSError(f"{written}: {name} was not written as it is: nothing is kept")


def _replace(new: Path, target: Path) -> None:
    if not target.exists():
        os.replace(new, target)
        return
    old = new.with_name("old")
    os.replace(target, old)
    os.replace(new, target)
