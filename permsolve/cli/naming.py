"""Saying which file an error is about."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from permsolve.errors import FileFormatError, InvalidProblemError, InvalidSolutionError


@contextmanager
def naming(source: Path, tensor: str | None = None) -> Iterator[None]:
    """Turn what the model says about an array into a :class:`FileFormatError` that names its file.

    The model does not know where an array came from. Only what comes from the model belongs into the body:
    errors of :mod:`permsolve.io` name their file already.

    Parameters
    ----------
    source : Path
        The file.
    tensor : str, optional
        The tensor of it, where it holds several.

    Raises
    ------
    FileFormatError
        When the body finds the array unusable.
    """
    try:
        yield
    except (InvalidProblemError, InvalidSolutionError) as error:
        where = f"{source}" if tensor is None else f"{source}: {tensor!r}"
        raise FileFormatError(f"{where}: {error}") from error
