"""Arrays on disk that need not stay in memory."""

import os
import tempfile
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# Arrays begin at multiples of this.
_ALIGNMENT = 64


class Spool:
    """A temporary file without a name, to be closed (``with``); it is gone when the last array in it is, too.

    Parameters
    ----------
    folder : path_like
        Where; needs to have room.

    Raises
    ------
    OSError
        When no file can be made there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed by __exit__)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def put(self, array: NDArray[Any]) -> NDArray[Any]:
        """Write an array, and return it as it lies there: mapped, read-only, read when it is looked at.

        Raises
        ------
        OSError
            When there is no room.
        """
        end = self._file.seek(0, os.SEEK_END)
        offset = self._file.seek(end + -end % _ALIGNMENT)
        self._file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        self._file.flush()
        mapped: NDArray[Any] = np.memmap(self._file, array.dtype, "r", offset, array.shape)
        return mapped
