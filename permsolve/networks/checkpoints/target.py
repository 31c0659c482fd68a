"""The folder that is to be written: checked before any work, and made whole or not at all."""

import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from permsolve.errors import InvalidOptionError
from permsolve.networks.checkpoints.files import OtherFiles
from permsolve.networks.checkpoints.folder import CheckpointFolder
from permsolve.networks.interrupts import ctrl_c_waits

# For the axes that are solved, which are kept beside the target until it is complete, and for the file system itself.
_RESERVE = 4 << 20
_BLOCK = 4096
_MIB = 1 << 20


def work_folder(target: Path) -> Path:
    """Where everything lies until the target is complete."""
    return target.parent / f".{target.name}.permsolve"


def solved_folder(target: Path) -> Path:
    """Where solved axes are kept for another run."""
    return work_folder(target) / "solved"


def check_target(source: Path, target: Path, force: bool) -> None:
    """Refuse a target that could not be written in the end.

    Raises
    ------
    InvalidOptionError
        With the reason.
    """
    parent = target.parent
    if not parent.is_dir():
        raise InvalidOptionError(f"{target}: the folder {parent} does not exist")
    inside = target.resolve()
    if source.resolve() in (inside, *inside.parents) or inside in source.resolve().parents:
        raise InvalidOptionError(f"{target}: that is the input, a part of it, or around it; choose another folder")
    if target.exists() and not force:
        raise InvalidOptionError(f"{target}: exists already: choose another folder, or replace it with --force")
    if target.is_symlink():
        raise InvalidOptionError(f"{target}: that is a link, and would not be one any more; choose another name")
    if os.path.lexists(target) and not target.is_dir():
        raise InvalidOptionError(f"{target}: that is no folder; choose another name")
    if target.exists() and not _replaceable(target):
        raise InvalidOptionError(f"{target}: it is mounted, or belongs to somebody else, and cannot be replaced")
    work = work_folder(target)
    if os.path.lexists(work) and not work.is_dir():
        raise InvalidOptionError(f"{work}: that is no folder, and what is solved would be kept in it: remove it")
    try:
        work.exists()  # its name may be too long
        os.rmdir(tempfile.mkdtemp(dir=parent, prefix=".permsolve-"))
    except OSError as error:
        raise InvalidOptionError(
            f"{target}: the folder {parent} cannot be written to ({error.strerror}): choose another one"
        ) from error


def _replaceable(target: Path) -> bool:
    """Whether a folder can be renamed."""
    if target.is_mount():
        return False
    parent, user = target.parent.stat(), os.geteuid()
    sticky = bool(parent.st_mode & stat.S_ISVTX) and user not in (0, parent.st_uid, target.stat().st_uid)
    return not sticky and os.access(target, os.W_OK)


def check_space(target: Path, folder: CheckpointFolder, files: OtherFiles) -> None:
    """Refuse a target for which there is too little room on its disk.

    Raises
    ------
    InvalidOptionError
        With the room that is needed.
    """
    paths = [folder.path / name for name in folder.shards] + [folder.path / file for file in files.copied]
    needed = sum(math.ceil(path.stat().st_size / _BLOCK) * _BLOCK for path in paths) + _RESERVE
    disk = shutil.disk_usage(target.parent)
    if disk.total and needed > disk.free:
        raise InvalidOptionError(
            f"{target}: there is not enough space: it takes {needed / _MIB:.1f} MiB, and {disk.free / _MIB:.1f} MiB "
            "are free there: make room, or choose a folder on another disk"
        )


@contextmanager
def workplace(target: Path) -> Iterator[Path]:
    """A folder beside the target that is to become it, not yet made; it is renamed at the end.

    Ctrl-C leaves the axes that are solved for another run, and an error those of earlier runs. Nothing else stays.

    Raises
    ------
    OSError
        When something cannot be written.
    """
    work, solved = work_folder(target), solved_folder(target)
    resuming = solved.is_dir()
    new = work / "new"
    shutil.rmtree(new, ignore_errors=True)
    try:
        yield new
        with ctrl_c_waits():
            _rename(new, target)
            shutil.rmtree(work, ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if not (solved.is_dir() and (resuming or isinstance(error, KeyboardInterrupt))):
            shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise


def _rename(new: Path, target: Path) -> None:
    if not target.exists():
        os.replace(new, target)
        return
    old = new.with_name("old")
    os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        os.replace(old, target)
        raise
