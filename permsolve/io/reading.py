"""One place where whatever a parser raises on broken bytes becomes one clear error."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from permsolve.errors import FileFormatError, PermsolveError


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn any failure to parse ``path`` into a :class:`FileFormatError` that names it.

    Errors of the file system (missing, unreadable, a folder) stay what they are, and so does running out of memory.
    What is no file is refused before it is opened: a named pipe could be waited for without end, and read only once.

    Parameters
    ----------
    path : Path
        The file being read.
    kind : str
        What it should be, for the message: ``"a .npy array"``.

    Raises
    ------
    FileFormatError
        When the body of the ``with`` statement fails to make sense of the file.
    """
    refuse_pipes(path)
    try:
        yield
    except MemoryError:
        raise
    except PermsolveError as error:
        raise error if str(path) in str(error) else FileFormatError(f"{path}: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise FileFormatError(f"{path}: not {kind}, or a damaged one: {_one_line(error)}") from error
    except Exception as error:  # numpy, zipfile, zlib, json and safetensors each raise their own
        raise FileFormatError(f"{path}: not {kind}, or a damaged one: {_one_line(error)}") from error


def refuse_pipes(path: Path) -> None:
    """Refuse what is neither a file nor a folder: named pipes (``<(...)`` of a shell is one), devices, sockets.

    Raises
    ------
    FileFormatError
        When it is one.
    """
    try:
        mode = path.stat().st_mode
    except OSError:  # whoever opens it says what is wrong
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kind = "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise FileFormatError(f"{path}: that is {kind}, which cannot be read twice: save it to a file first")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "pickle" in text or "Python objects" in text:
        return "it holds pickled objects, which are never loaded: save a plain numeric array instead"
    return text if len(text) <= 200 else text[:200] + "..."
