"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def atomic_write(path: str | os.PathLike[str], write: Callable[[IO[bytes]], Any]) -> None:
    """Call ``write`` with a temporary file next to ``path``, then rename it to ``path``.

    When ``write`` raises, ``path`` is as it was and the temporary file is gone.

    Parameters
    ----------
    path : path_like
        Where the file shall be; one that exists is replaced.
    write : callable
        Writes the content to the binary stream that it is given.

    Raises
    ------
    OSError
        When the folder does not exist or cannot be written to.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        # mkstemp makes private files; give the result the mode any new file would have.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
