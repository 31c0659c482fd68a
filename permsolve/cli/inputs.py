"""Reading what a layer's inputs are like, for a calibrated saliency."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from permsolve.errors import FileFormatError, InvalidOptionError

if TYPE_CHECKING:
    from permsolve.moments import InputMoments


def open_inputs(path: Path | None, saliency: str) -> "Callable[[str], InputMoments | None]":
    """A function from the name of a weight to the moments that belong to it.

    Parameters
    ----------
    path : Path or None
        The file given as ``--inputs``: one array for whatever weight, or arrays by name of the weight.
    saliency : str
        Name of a saliency, which must be calibrated if and only if there is a file.

    Raises
    ------
    UnknownSaliencyError
        When no saliency has this name.
    InvalidOptionError
        When a calibrated saliency lacks its file, or another one is given a file.
    FileFormatError
        When the file is no file of arrays, lacks a weight's, or holds something that cannot be moments.
    """
    from permsolve.cli.naming import naming
    from permsolve.io.weight_file import open_weights
    from permsolve.moments import InputMoments
    from permsolve.saliency import get_saliency

    calibrated = get_saliency(saliency).needs is not None
    if path is None:
        if calibrated:
            raise InvalidOptionError(
                f"saliency {saliency!r} needs moments of the layer's inputs: give their mean squares, or their second "
                "moments as a square matrix, by --inputs"
            )
        return lambda name: None
    if not calibrated:
        raise InvalidOptionError(f"--inputs is for calibrated saliencies, and {saliency!r} is none: leave it out")
    file = open_weights(path)
    known = [info.name for info in file.tensors()]

    def moments_of(name: str) -> InputMoments:
        chosen = name if name in known else known[0] if len(known) == 1 else None
        if chosen is None:
            raise FileFormatError(f"{path}: holds no moments for {name!r}, which an array of that name would be")
        array = file.read(chosen)
        with naming(path, chosen if len(known) > 1 else None):
            # One axis more than a vector is the matrix of one group, or mean squares of several.
            square = array.ndim > 1 and array.shape[-1] == array.shape[-2]
            return InputMoments.from_second_moment(array) if square else InputMoments(array)

    return moments_of
