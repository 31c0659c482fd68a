"""The folder that is written: refused before any work, or there as a whole, or not at all."""

import errno
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

import torch

from permsolve import networks
from permsolve.errors import InvalidOptionError
from permsolve.networks.checkpoints import conversion, target, writing
from permsolve.networks.checkpoints.target import check_target
from tests.cli.conftest import Answer, run_command
from tests.networks.checkpoints.tiny import llama, save

QUICK = ("--time-limit", "0.2", "--workers", "1", "--solver", "local-search", "-q")
Usage = namedtuple("Usage", "total used free")


def _run(tmp_path: Path, *more: str) -> Answer:
    if not (tmp_path / "in").exists():
        save(llama(), tmp_path / "in")
    return run_command("permute-checkpoint", tmp_path / "in", "--out", tmp_path / "out", *QUICK, *more)


def _fails(answer: Answer, *words: str) -> bool:
    return answer.code == 2 and answer.err.count("\n") == 1 and all(word in answer.err for word in words)


def test_too_little_space_shows_before_the_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room that is needed is known from the files."""
    monkeypatch.setattr(target.shutil, "disk_usage", lambda _: Usage(1 << 30, 0, 1 << 16))
    monkeypatch.setattr(conversion, "load", None)
    assert _fails(_run(tmp_path), "not enough space", str(tmp_path / "out"), "MiB")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("where", ["mkdtemp", "copy_safetensors"])
def test_what_the_disk_says(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be written to, and a disk that others fill meanwhile: one line, and nothing is left."""

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS if where == "mkdtemp" else errno.ENOSPC, "no room")

    monkeypatch.setattr(target.tempfile if where == "mkdtemp" else writing, where, fails)
    assert _fails(_run(tmp_path), "no room", str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_ctrl_c_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The axes that are solved stay, half of an output does not; the next run ends with all of it."""

    def interrupted(_: Any, __: Any, new: Path) -> None:
        new.mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "write_checkpoint", interrupted)
        answer = _run(tmp_path)
    assert (answer.code, answer.err.count("\n")) == (130, 1)
    assert "goes on from the axes" in answer.err
    assert [path.name for path in (tmp_path / ".out.permsolve").iterdir()] == ["solved"]
    assert _run(tmp_path).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_ctrl_c_before_anything_is_solved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "load", interrupted)
    answer = _run(tmp_path)
    assert (answer.code, answer.err) == (130, "permsolve: interrupted: nothing was written\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def _flipped(tensor: torch.Tensor, dtype: torch.dtype, bits: Callable[..., Any] = writing._bytes) -> Any:
    wrong = bits(tensor, dtype).copy()
    wrong[0] ^= 1
    return wrong


@pytest.mark.parametrize("fault", ["bits", "order"])
def test_what_is_not_as_it_should_be_gets_no_name(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit that is lost on the way to the disk, and a tensor in another order than the report says."""
    if fault == "bits":
        monkeypatch.setattr(writing, "_bytes", _flipped)
    else:
        monkeypatch.setattr(networks, "invert_", lambda model, _: model)
    assert _fails(_run(tmp_path), ".weight", "nothing is kept")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_targets_that_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount, a name that is too long, and a file in the place of what is kept meanwhile."""
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda _: True)
    with pytest.raises(InvalidOptionError, match="mounted"):
        check_target(tmp_path / "in", tmp_path / "out", force=True)
    (tmp_path / ".new.permsolve").write_text("")
    with pytest.raises(InvalidOptionError, match=r"\.new\.permsolve"):
        check_target(tmp_path / "in", tmp_path / "new", force=False)
    with pytest.raises(InvalidOptionError, match="too long"):
        check_target(tmp_path / "in", tmp_path / ("n" * 250), force=False)


def test_force_replaces_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the new folder cannot take the place of the old one, the old one is there as it was."""
    assert _run(tmp_path).code == 0
    (tmp_path / "out" / "mine.txt").write_text("mine")
    replace = target.os.replace

    def fails(old: Path, new: Path) -> None:
        if Path(old).name == "new":
            raise OSError(errno.EIO, "no", str(old))
        replace(old, new)

    monkeypatch.setattr(target.os, "replace", fails)
    assert _fails(_run(tmp_path, "--force"), "no")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    shutil.rmtree(tmp_path / "in")
