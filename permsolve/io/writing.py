"""Files that appear whole or not at all."""

import os
import stat
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
        Where the file shall be. One that exists is replaced and keeps its mode; a link stays, and what it points to is
        replaced.
    write : callable
        Writes the content to the binary stream that it is given.

    Raises
    ------
    OSError
        When the folder does not exist or cannot be written to.
    """
    target = Path(os.path.realpath(path))
    try:
        # A short name of its own: with the target's in it, it could be too long where the target's is not.
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".permsolve-", suffix=".part")
    except OSError as error:  # of a name that nobody has given
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        os.chmod(name, _mode(target))  # mkstemp makes private files
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mode(target: Path) -> int:
    """That of the file which is replaced, or which any new file would have."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
