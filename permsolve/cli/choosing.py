"""Which tensors of a file a command is about."""

from permsolve.errors import InvalidOptionError
from permsolve.io.tensor_info import TensorInfo
from permsolve.io.weight_file import WeightFile, choose_tensor, weights_of


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
