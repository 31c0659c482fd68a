"""The one place where what other packages raise on the files of a folder becomes one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from permsolve.errors import FileFormatError, PermsolveError
from permsolve.networks.trace.export import described

# What a package in Rust raises when it panics; it derives from BaseException alone.
_PANIC = "PanicException"
_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")


@contextmanager
def calling_package(path: Path, failed: str, remedy: str, alias: Path | None = None) -> Iterator[None]:
    """Say of whatever another package raises which file it was about, and what helps.

    Errors of this package and of the file system stay what they are; running out of memory becomes MemoryError.

    Parameters
    ----------
    path : Path
        The file or folder that the package was called for.
    failed : str
        What could not be done, as the end of a sentence that begins with ``path``.
    remedy : str
        What the user can do.
    alias : Path, optional
        What the package knows ``path`` as; it is put back into what the package says.

    Raises
    ------
    FileFormatError
        When the body of the ``with`` statement fails.
    """
    try:
        yield
    except (PermsolveError, MemoryError):
        raise
    except BaseException as error:  # of packages that we do not own, each with exceptions of its own
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise  # Ctrl-C, and what ends the process
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise
        said = described(error)
        if any(words in said.lower() for words in _NO_MEMORY):
            raise MemoryError(said) from error
        if alias is not None:
            said = said.replace(str(alias), str(path))
        raise FileFormatError(f"{path}: {failed} ({said}): {remedy}") from error
