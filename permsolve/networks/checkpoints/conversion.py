"""From one checkpoint folder to another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from permsolve.networks.checkpoints.checking import check_written
from permsolve.networks.checkpoints.files import AS_TOLD, Wishes, account_for_files
from permsolve.networks.checkpoints.folder import CheckpointFolder
from permsolve.networks.checkpoints.loading import Loaded, load, quiet_transformers
from permsolve.networks.checkpoints.resuming import ResumingExecutor
from permsolve.networks.checkpoints.target import check_space, check_target, solved_folder, workplace
from permsolve.networks.checkpoints.writing import write_checkpoint
from permsolve.networks.prunable import NameFilter, prunable_weights

_Outcome = TypeVar("_Outcome")


def convert(
    source: Path,
    target: Path,
    change: Callable[[Loaded, ResumingExecutor], _Outcome],
    *,
    undo: Callable[[Any, _Outcome], object] | None = None,
    zeros: bool = False,
    wishes: Wishes,
    force: bool,
    on_done: Callable[[], None] | None,
    on_remark: Callable[[str], None] | None,
) -> _Outcome:
    """Load the model of a folder, change it in place, and write a folder with the same shards, names and types.

    Every file and every tensor is accounted for before ``change`` is called: it follows, it provably reads nothing that
    is permuted and is copied, it is left out and said to be, or all is refused. Solved axes are kept beside the target
    until it is complete (``.NAME.permsolve``), and a run with the same arguments goes on from there. The target appears
    whole or not at all, and is read back and compared.

    Parameters
    ----------
    source, target : Path
        The folder to read, and the one to write.
    change : callable
        Given the model and the executor that solves axes.
    undo : callable, optional
        Given a model and what ``change`` returned, takes the permutation out again; without it, only what is in memory
        is compared with what was written.
    zeros : bool, default False
        Whether ``change`` also makes entries zero.
    wishes : Wishes
        What the user knows of files and tensors.
    force : bool
        Whether to replace a target that exists.
    on_done : callable or None
        Called after each axis.
    on_remark : callable or None
        Called in the end with a sentence on each file or tensor that the target does not have.

    Returns
    -------
    object
        What ``change`` returns.

    Raises
    ------
    InvalidOptionError
        When the target exists, or is the source or a part of it, or cannot be written, or there is no room for it.
    FileFormatError
        When the source cannot be read, or holds something that cannot be accounted for.
    MissingPackageError
        When `transformers` is not installed.
    """
    check_target(source, target, force)
    folder = CheckpointFolder.open(source)
    files = account_for_files(folder, wishes)
    check_space(target, folder, files)
    with quiet_transformers():
        loaded = load(folder, wishes)
        wishes.check([*(file.as_posix() for file in files.copied), *files.left_out, *loaded.tensors.unused])
        with workplace(target) as new:
            outcome = change(loaded, ResumingExecutor(solved_folder(target), on_done))
            write_checkpoint(loaded, files, new)
            check_written(loaded, new, None if undo is None else lambda model: undo(model, outcome), zeros=zeros)
    left_out = files.left_out | dict.fromkeys(sorted(loaded.tensors.left_out), AS_TOLD)
    for name, why in left_out.items():
        if on_remark is not None:
            on_remark(f"{name} was left out: {why}")
    return outcome


def chosen_layers(model: Any, include: NameFilter | None, exclude: NameFilter | None) -> Callable[[str], bool]:
    """Which layers of a model count, by their names.

    Unless ``include`` is given, the output embedding (the head of a language model) is left out. So is what is computed
    from several tensors (by ``weight_norm``), since there is none in the checkpoint that could hold the zeros.
    """
    head = model.get_output_embeddings() if include is None else None
    weights = prunable_weights(model, include, exclude)
    chosen = {weight.module_name for weight in weights if weight.module is not head and weight.parameter is not None}
    return chosen.__contains__
