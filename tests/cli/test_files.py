"""Files that cannot be read or written as they are: one line, exit code 2, before any search, and nothing is left."""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import permsolve.api
import permsolve.io.writing
from permsolve.cli.outputs import held, keep_all
from permsolve.io.writing import Output, atomic_write
from tests.cli.conftest import Answer

Run = Callable[..., Answer]
GREEDY = ("--solver", "greedy", "--quiet")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="files of POSIX")


def _matrix(seed: int = 0, shape: tuple[int, ...] = (8, 16)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Weights, orders and moments, and all kinds of things that are no files."""
    np.save(tmp_path / "w.npy", _matrix())
    np.save(tmp_path / "order.npy", np.arange(16)[::-1])
    np.save(tmp_path / "moments.npy", np.ones(16))
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    os.mkfifo(tmp_path / "pipe.json")
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "device.npy").symlink_to("/dev/null")
    (tmp_path / "loop.npy").symlink_to("loop.npy")
    (tmp_path / "nowhere.npy").symlink_to(tmp_path / "missing" / "p.npy")
    (tmp_path / "fixed.npy").write_bytes(b"old")
    (tmp_path / "fixed.npy").chmod(0o444)
    (tmp_path / "fixed.json").write_bytes(b"old")
    (tmp_path / "fixed.json").chmod(0o444)
    (tmp_path / "hard.npy").hardlink_to(tmp_path / "w.npy")
    (tmp_path / "soft.npy").symlink_to("w.npy")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(tmp_path)  # names of sockets are short
        bound.bind("socket.npy")
        os.chdir(here)
        yield tmp_path


def _state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        file.name: (file.lstat().st_mode, file.read_bytes() if file.is_file() else b"") for file in folder.iterdir()
    }


# Commands with {} for the file in question, and what the line says besides its name.
INPUTS: list[tuple[str, tuple[str, ...]]] = [
    (command, ("pipe.npy", "pipe.safetensors", "device.npy", "socket.npy", "folder.npy", "loop.npy", "none.npy"))
    for command in (
        "solve {} --solver greedy -q",
        "check {}",
        "inspect {}",
        "bound {} --method rows",
        "lossless {} --solver greedy",
        "apply {} order.npy --out out.npy",
        "apply w.npy {} --out out.npy",
        "solve w.npy --solver greedy --initial {}",
        "solve w.npy --solver greedy --saliency wanda --inputs {}",
    )
] + [
    ("apply w.npy {} --out out.npy", ("pipe.json",)),
    ("solve w.npy --solver greedy --initial {}", ("pipe.json",)),
    ("check {}", ("/dev/stdin", "/dev/null", "/dev/fd/0", "")),
]
NO_FILES = ("pipe.npy", "device.npy", "socket.npy", "folder.npy", "loop.npy", "nowhere.npy", "fixed.npy", "none/p.npy")
NO_DOCUMENTS = (
    *("pipe.json", "fixed.json", "none/r.json", "w.npy/r.json", "n" * 300 + ".json"),
    *("r.txt", "/dev/full", "/dev/stdout"),
)
OUTPUTS: list[tuple[str, tuple[str, ...]]] = [
    ("solve w.npy --solver greedy --out {}", NO_FILES),
    ("lossless w.npy --solver greedy --out {}", NO_FILES),
    ("apply w.npy order.npy --out {}", NO_FILES),
    ("solve w.npy --solver greedy --json {}", NO_DOCUMENTS),
    ("lossless w.npy --solver greedy --json {}", NO_DOCUMENTS),
    ("bound w.npy --method rows --json {}", NO_DOCUMENTS),
] + [
    (command, ("w.npy", "hard.npy", "soft.npy", "/dev/stdout", "n" * 300 + ".npy", "p"))
    for command in ("solve w.npy --solver greedy --out {}", "apply w.npy order.npy --out {}")
]
CASES = [(command, name) for command, names in INPUTS + OUTPUTS for name in names]


@pytest.mark.parametrize(("command", "name"), CASES)
def test_what_is_no_file_is_refused(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    """In one line that names it, without waiting for a pipe, before any search; all is as it was."""
    monkeypatch.chdir(folder)
    for search in ("permsolve.api.solve", "permsolve.lossless.solve"):
        monkeypatch.setattr(search, lambda *_, **__: pytest.fail("searched"))
    before = _state(folder)
    answer = run(*(name if word == "{}" else word for word in command.split()))
    assert answer.code == 2, answer
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("permsolve: error: ")
    assert name in answer.err
    assert "Traceback" not in answer.err
    assert _state(folder) == before


@pytest.mark.parametrize("name", ["new.npy", "dangling.npy", "old.npy", "linked.npy"])
def test_what_can_be_written_is(run: Run, tmp_path: Path, name: str) -> None:
    """Links stay, whether they lead to a file or not, and no other name appears."""
    np.save(tmp_path / "w.npy", _matrix())
    (tmp_path / "old.npy").write_bytes(b"old" * 9999)
    (tmp_path / "linked.npy").symlink_to("old.npy")
    (tmp_path / "dangling.npy").symlink_to("made.npy")
    before = {file.name for file in tmp_path.iterdir()}
    assert run("solve", tmp_path / "w.npy", *GREEDY, "--out", tmp_path / name).code == 0
    assert sorted(np.load(tmp_path / name)) == list(range(16))
    assert {file.name for file in tmp_path.iterdir()} - before <= {name, "made.npy"}
    assert (tmp_path / "linked.npy").is_symlink()
    assert (tmp_path / "dangling.npy").is_symlink()


def _full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "command",
    ["solve w.npy --out p.npy", "solve w.npy --json r.json", "lossless w.npy --out p.npy", "bound w.npy --json r.json"],
)
def test_a_full_disk_shows_before_the_search(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """As the space is held beforehand."""
    monkeypatch.chdir(tmp_path)
    np.save("w.npy", _matrix())
    monkeypatch.setattr(os, "posix_fallocate", _full)
    for search in ("permsolve.api.solve", "permsolve.lossless.solve", "permsolve.bound.solve"):
        monkeypatch.setattr(search, lambda *_, **__: pytest.fail("searched"))
    answer = run(*command.split())
    assert answer.code == 2
    assert answer.err == f"permsolve: error: {command.split()[-1]}: No space left on device\n"
    assert [file.name for file in tmp_path.iterdir()] == ["w.npy"]


def test_a_result_that_cannot_be_written_any_more_is_kept_elsewhere(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its folder is gone after the search: the line says where, and the exit code that it is another place."""
    here, spare = tmp_path / "here", tmp_path / "spare"
    here.mkdir()
    spare.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    np.save(tmp_path / "w.npy", _matrix())
    search = permsolve.api.solve

    def folder_goes(*args: Any, **options: Any) -> Any:
        here.rmdir()
        return search(*args, **options)

    monkeypatch.setattr("permsolve.api.solve", folder_goes)
    targets = ("--out", here / "p.npy", "--json", here / "r.json")
    answer = run("solve", tmp_path / "w.npy", *GREEDY, *targets)
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    (order,) = spare.rglob("p.npy")
    (document,) = spare.rglob("r.json")
    assert sorted(np.load(order)) == list(range(16))
    assert f"p.npy: No such file or directory: it was written to {order}" in answer.err
    assert f"r.json: No such file or directory: it was written to {document}" in answer.err


def test_where_no_disk_takes_a_result_the_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no folder is left that was made for it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with held(tmp_path / "p.npy", 10) as output, pytest.raises(OSError, match="and no other place takes it") as refused:
        keep_all((output, _full))
    assert refused.value.filename == str(tmp_path / "p.npy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("code", [errno.EPERM, errno.EBUSY])
def test_a_file_that_cannot_be_replaced_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool, code: int
) -> None:
    """That of another owner in a folder with the sticky bit, or one that is mounted alone."""

    def refused(source: Any, target: Any) -> None:
        raise OSError(code, os.strerror(code), str(source), None, str(target))

    monkeypatch.setattr(os, "replace", refused)
    if named:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "p.npy"
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        atomic_write(path, lambda stream: stream.write(b"new"))
    assert caught.value.filename == str(path)
    assert not list(tmp_path.iterdir())
    for before in (b"", b"old" * 9999):
        path.write_bytes(before)
        atomic_write(path, lambda stream: stream.write(b"new"), 5000)
        assert path.read_bytes() == b"new"
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("named", [True, False])
def test_an_output_holds_its_space_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """With and without names for temporary files; what is written is as long as it is, not as what was held."""
    if named:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "p.bin"
    with Output(path, 10_000) as output:
        assert os.fspath(output) == str(path)
    assert not list(tmp_path.iterdir())
    with Output(path, 10_000) as output:
        atomic_write(output, lambda stream: stream.write(b"abc"))
    assert path.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == [path]


def test_without_proc_the_content_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a file that has a name."""
    link = os.link

    def no_proc(source: str, *args: Any, **options: Any) -> None:
        link(source.replace("/proc", "/none"), *args, **options)

    monkeypatch.setattr(os, "link", no_proc)
    atomic_write(tmp_path / "p.bin", lambda stream: stream.write(b"abc"))
    assert (tmp_path / "p.bin").read_bytes() == b"abc"
    assert (tmp_path / "p.bin").stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert len(list(tmp_path.iterdir())) == 1


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
