"""Reading back what was written, before it gets its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from permsolve.networks.checkpoints.comparing import same
from permsolve.networks.checkpoints.folder import CheckpointFolder
from permsolve.networks.checkpoints.loading import Loaded, load_as
from permsolve.networks.checkpoints.stored import compare_with_stored, stored_form


def check_written(loaded: Loaded, written: Path, undo: Callable[[Any], object] | None, *, zeros: bool) -> None:
    """Load what was written: it must be the model as it is now, and, permuted back, the checkpoint as it was.

    Parameters
    ----------
    loaded : Loaded
        The model, changed since it was loaded.
    written : Path
        The folder.
    undo : callable, optional
        Takes the permutation out of a model; None where weights have other values than before, too.
    zeros : bool
        Whether entries may be zero instead of what they were.

    Raises
    ------
    OSError
        When a tensor is not what it should be.
    """
    model, source = loaded.model, loaded.folder
    folder = CheckpointFolder.open(written).having(source.shards)
    again = load_as(type(model), model.config, folder)
    state = again.state_dict()
    for name, tensor in model.state_dict().items():
        if not same(tensor, state[name]):
            raise OSError(f"{written}: {name} was not written as it is: nothing is kept")
    if undo is None:
        return
    undo(again)
    wrong = compare_with_stored(source, stored_form(again, folder), loaded.tensors.followed, zeros=zeros)
    if wrong is not None:
        raise OSError(f"{written}: {wrong} is not the permuted tensor of {source.path}: nothing is kept")
