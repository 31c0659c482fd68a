"""Files that appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from permsolve.io.writing import atomic_write


def _write(path: Path, content: bytes = b"new") -> None:
    atomic_write(path, lambda stream: stream.write(content))


def test_the_longest_name_is_written(tmp_path: Path) -> None:
    """The temporary name is no longer than any that the file system takes."""
    path = tmp_path / ("n" * (os.pathconf(tmp_path, "PC_NAME_MAX") - 4) + ".npy")
    _write(path)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_modes(tmp_path: Path) -> None:
    """A file that is replaced keeps its mode; a new one has that of any new file."""
    path, plain = tmp_path / "private", tmp_path / "plain"
    path.touch(0o600)
    path.chmod(0o640)
    plain.touch()
    _write(path)
    assert path.stat().st_mode & 0o777 == 0o640
    _write(tmp_path / "made")
    assert (tmp_path / "made").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("exists", [True, False])
def test_links_stay(tmp_path: Path, exists: bool) -> None:
    """What they point to is written, whether it exists or not, in its own folder."""
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "file", tmp_path / "link"
    link.symlink_to(Path("there") / "file")
    if exists:
        target.write_bytes(b"old")
    _write(link)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert list((tmp_path / "there").iterdir()) == [target]


def test_a_failure_leaves_things_as_they_were(tmp_path: Path) -> None:
    """And a missing folder is told by the name that was given, not by the temporary one."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(stream: object) -> None:
        raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        atomic_write(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError) as refused:
        _write(tmp_path / "no" / "file")
    assert refused.value.filename == str(tmp_path / "no" / "file")


def test_a_limit_that_the_last_bytes_exceed_names_the_file(tmp_path: Path) -> None:
    """What was not taken is not tried again: that would fail without the name."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    path = tmp_path / "file"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        with pytest.raises(OSError, match="large") as refused:
            _write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (refused.value.errno, refused.value.filename) == (errno.EFBIG, str(path))
    assert not list(tmp_path.iterdir())
