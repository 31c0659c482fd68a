"""Files that appear whole or not at all."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

# What a rename says of a file that may be written to, but not replaced: of another owner in a folder with the sticky
# bit, or mounted alone.
_NOT_REPLACED = (errno.EPERM, errno.EACCES, errno.EBUSY, errno.EXDEV)
# What it says of a disk, a quota or a limit that is reached.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class Output(os.PathLike[str]):
    """A file that is to be written: its place is made sure of before the work whose outcome it holds (``with``).

    All is written to a file without a name in the same folder, which takes the place of ``path`` when it is complete.
    Where the system has none of these, its name begins with a dot, and it is gone afterwards.

    Parameters
    ----------
    path : path_like
        Where the file shall be. One that exists is replaced and keeps its mode; a link stays, and what it points to is
        replaced. A file that may be written to and not replaced (of another owner in a folder with the sticky bit, or
        mounted alone) is written in place once all that it shall hold is complete.
    space : int, default 0
        Bytes that are held for it from now on.

    Raises
    ------
    OSError
        When the folder does not exist, cannot be written to or has no room, or ``path`` is read-only or no file.
    """

    def __init__(self, path: str | os.PathLike[str], space: int = 0) -> None:
        self._path = os.fspath(path)
        self._target = Path(os.path.realpath(path))
        if (reason := obstacle(path)) is not None:
            raise OSError(errno.EACCES, reason, self._path)
        self._name: str | None = None  # of the temporary file, when it has one
        self._stream: IO[bytes] | None = self._begun()
        try:
            _hold(self._stream.fileno(), space)
        except OSError as error:
            self.close()
            raise OSError(error.errno, error.strerror, self._path) from error

    def __fspath__(self) -> str:
        return self._path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what was not written; nothing of it is left."""
        if self._stream is not None:
            with suppress(OSError):  # what a full disk did not take is tried again, and is not wanted any more
                self._stream.close()
            self._stream = None
        if self._name is not None:
            Path(self._name).unlink(missing_ok=True)
            self._name = None

    def write(self, write: Callable[[IO[bytes]], Any]) -> None:
        """Write the file, once.

        Parameters
        ----------
        write : callable
            Writes the content to the binary stream that it is given, and leaves the stream at the content's end.

        Raises
        ------
        OSError
            When it cannot be written; ``path`` is as it was.
        """
        assert self._stream is not None, "an output is written once"
        try:
            write(self._stream)
            self._stream.truncate()  # what was held and is not needed
            self._stream.flush()
            self._replace(self._stream)
        except OSError as error:
            if error.filename is None and error.errno in _NO_SPACE:
                raise OSError(error.errno, error.strerror, self._path) from error
            raise
        finally:
            self.close()

    def _begun(self) -> IO[bytes]:
        """An empty file in the folder of the target, without a name where the system has such files."""
        try:
            if hasattr(os, "O_TMPFILE"):
                try:
                    flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
                    return os.fdopen(os.open(self._target.parent, flags, 0o600), "w+b")
                except OSError as error:
                    # Old kernels take it for the folder, and many file systems have no such files.
                    if error.errno not in (errno.EISDIR, errno.EOPNOTSUPP, errno.ENOENT, errno.EINVAL):
                        raise
            # A short name of its own: with the target's in it, it could be too long where the target's is not.
            handle, self._name = tempfile.mkstemp(dir=self._target.parent, prefix=".permsolve-", suffix=".part")
            return os.fdopen(handle, "w+b")
        except OSError as error:  # of a name that nobody has given
            raise OSError(error.errno, error.strerror, self._path) from error

    def _replace(self, stream: IO[bytes]) -> None:
        """Put what was written in the place of the target."""
        try:
            os.chmod(stream.fileno(), _mode(self._target))  # temporary files are private
            if self._name is None:
                self._name = _named(stream, self._target.parent)
            os.replace(self._name, self._target)
            self._name = None
        except OSError as error:
            if error.errno not in _NOT_REPLACED or not self._target.exists():
                raise OSError(error.errno, error.strerror, self._path) from error
            try:
                _write_in_place(stream, self._target)
            except OSError as again:
                raise OSError(again.errno, again.strerror, self._path) from again


def atomic_write(path: str | os.PathLike[str], write: Callable[[IO[bytes]], Any], space: int = 0) -> None:
    """Write a file that appears whole or not at all: when ``write`` raises, ``path`` is as it was.

    Parameters
    ----------
    path : path_like
        Where the file shall be (see :class:`Output`, which may be given itself).
    write : callable
        Writes the content to the binary stream that it is given, and leaves the stream at the content's end.
    space : int, default 0
        Bytes that it will take, where that is known: when there is no room, this shows before anything is written.

    Raises
    ------
    OSError
        When the folder does not exist, cannot be written to or has no room, or ``path`` is read-only or no file.
    """
    if isinstance(path, Output):
        path.write(write)
        return
    with Output(path, space) as output:
        output.write(write)


def obstacle(path: str | os.PathLike[str]) -> str | None:
    """Why a file that exists must not be replaced by a result, None when it may, or when there is none."""
    if os.path.islink(path) and os.path.islink(os.path.realpath(path)):
        return "that is a link that leads back to itself"
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            return f"that is {kind}; choose another name"
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):  # root may write it, and shall not without being told
        return "that file is read-only; choose another name"
    try:
        os.close(os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)))
    except OSError as error:
        return f"that file cannot be written to ({(error.strerror or str(error)).lower()}); choose another name"
    return None


def _hold(handle: int, space: int) -> None:
    """Let a file have so many bytes, so that nobody else takes them."""
    if space <= 0 or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(handle, 0, space)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise
        # A file system that cannot hold space: what is missing shows when it is written.


def _named(stream: IO[bytes], folder: Path) -> str:
    """Give a file without a name one in this folder, where it was made; the name."""
    # Not os.link alone: it follows the link to the open file only where a folder is given as a handle.
    at = os.open(folder, os.O_RDONLY)
    try:
        for candidate in (f".permsolve-{os.urandom(6).hex()}.part" for _ in range(100)):
            try:
                os.link(f"/proc/self/fd/{stream.fileno()}", candidate, src_dir_fd=at, dst_dir_fd=at)
            except FileExistsError:
                continue
            except FileNotFoundError:
                if not folder.is_dir():
                    raise
                break  # no /proc: copied
            return str(folder / candidate)
    finally:
        os.close(at)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".permsolve-", suffix=".part")
    stream.seek(0)
    with os.fdopen(handle, "wb") as copy:
        shutil.copyfileobj(stream, copy)
        os.chmod(copy.fileno(), stat.S_IMODE(os.fstat(stream.fileno()).st_mode))
    return name


def _write_in_place(stream: IO[bytes], target: Path) -> None:
    """Write what a stream holds over a file that cannot be replaced; the space for it is made sure of before."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    with target.open("r+b") as old:
        before = os.fstat(old.fileno()).st_size
        try:
            _hold(old.fileno(), size)
        except OSError:
            old.truncate(before)
            raise
        shutil.copyfileobj(stream, old)
        old.truncate()


def _mode(target: Path) -> int:
    """That of the file which is replaced, or which any new file would have."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
