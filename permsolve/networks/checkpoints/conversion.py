"""From one checkpoint folder to another."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from permsolve import networks
from permsolve.errors import InvalidOptionError
from permsolve.networks.checkpoints.folder import CheckpointFolder
from permsolve.networks.checkpoints.inputs import Outputs, example_inputs
from permsolve.networks.checkpoints.loading import load_model
from permsolve.networks.checkpoints.resuming import ResumingExecutor
from permsolve.networks.checkpoints.writing import write_checkpoint
from permsolve.networks.prunable import NameFilter, prunable_weights
from permsolve.pattern import Pattern


def permute_checkpoint(
    source: Path,
    target: Path,
    pattern: str | Pattern = "2:4",
    *,
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
    prune: bool = False,
    force: bool = False,
    on_done: Callable[[], None] | None = None,
    **options: Any,
) -> Any:
    """Permute the model of a Hugging Face style folder, and write a folder that computes the same.

    Solved axes are kept beside the target until it is complete (``.NAME.permsolve``), and a run with the same
    arguments goes on from there. The target appears whole or not at all, and is read back and compared.

    Parameters
    ----------
    source, target : Path
        The folder to read, and the one to write.
    pattern : Pattern or str, default "2:4"
        The pattern.
    include, exclude : str, iterable of str, or callable, optional
        Which layers count, and are pruned: see :func:`permsolve.networks.prunable.prunable_weights`. Unless
        ``include`` is given, the output embedding (the head of a language model) is left out.
    prune : bool, default False
        Whether to prune to the pattern, too.
    force : bool, default False
        Whether to replace a target that exists.
    on_done : callable, optional
        Called after each axis.
    **options
        Of :func:`permsolve.networks.permute_`: solver, time_limit, seed, workers, saliency.

    Returns
    -------
    report
        What :func:`permsolve.networks.permute_` returns.

    Raises
    ------
    InvalidOptionError
        When the target exists, or is the source or a part of it; when gathers are asked for.
    FileFormatError
        When the source cannot be read.
    VerificationError
        When the permuted model would compute something else; nothing is written then.
    MissingPackageError
        When `transformers` is not installed.
    """
    _check_target(source, target, force)
    if options.get("gather", "never") != "never":
        raise InvalidOptionError("a checkpoint has no place for gathers: leave gather at 'never'")
    folder = CheckpointFolder.open(source)
    model = load_model(folder)
    wrapped = Outputs(model)
    chosen = _chosen(model, include, exclude)

    def wanted(name: str) -> bool:
        return name.removeprefix("model.") in chosen

    work = target.parent / f".{target.name}.permsolve"
    executor = ResumingExecutor(work / "solved", on_done)
    report = networks.permute_(wrapped, example_inputs(model), pattern, include=wanted, executor=executor, **options)
    if prune:
        networks.prune_(
            model, pattern, saliency=options.get("saliency", "magnitude"), include=lambda name: name in chosen
        )
        networks.finalize_(model)
    for leftover in ("new", "scratch"):
        shutil.rmtree(work / leftover, ignore_errors=True)
    write_checkpoint(model, folder, work / "new", work / "scratch")
    _compare(model, work / "new")
    _replace(work / "new", target)
    shutil.rmtree(work)
    return report


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


def _chosen(model: Any, include: NameFilter | None, exclude: NameFilter | None) -> set[str]:
    head = model.get_output_embeddings() if include is None else None
    weights = prunable_weights(model, include, exclude)
    return {weight.module_name for weight in weights if weight.module is not head}


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
