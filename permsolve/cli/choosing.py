"""Which tensors of a file a command is about."""

from collections.abc import Sequence
from pathlib import Path

from permsolve.errors import FileFormatError, InvalidOptionError
from permsolve.io.tensor_info import TensorInfo
from permsolve.io.weight_file import WeightFile, choose_tensor, weights_of

# Names in one line.
_SHOWN = 8


def chosen_tensors(file: WeightFile, tensor: str | None, every: bool) -> list[TensorInfo]:
    """Those that ``--tensor`` and ``--all`` ask for.

    Raises
    ------
    InvalidOptionError
        When both are given.
    FileFormatError
        When no tensor, or not the one that is named, can be permuted, or several can and none is named.
    """
    if every and tensor is not None:
        raise InvalidOptionError("--all and --tensor exclude each other")
    return weights_of(file) if every else [choose_tensor(file, tensor)]


def refuse_unread(source: Path, unread: Sequence[TensorInfo], done: str) -> None:
    """Refuse to call a file done when some of its tensors may be weights and could not be looked at.

    Raises
    ------
    FileFormatError
        When there are such tensors, with their names and types.
    """
    if not unread:
        return
    named = ", ".join(f"{info.name} ({info.dtype})" for info in unread[:_SHOWN])
    named += ", ..." if len(unread) > _SHOWN else ""
    count = "1 tensor was" if len(unread) == 1 else f"{len(unread)} tensors were"
    remedy = (
        "; name one of integers by --tensor of check or solve"
        if any(info.integer and info.eligible for info in unread)
        else ""
    )
    raise FileFormatError(f"{source}: {count} not {done}: {named}{remedy}")
