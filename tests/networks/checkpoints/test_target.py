"""The folder that is written: refused before any work, or there as a whole, or not at all."""

import errno
import os
import shutil
import tempfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

import torch

from permsolve.errors import InvalidOptionError
from permsolve.networks.checkpoints import conversion, writing
from permsolve.networks.checkpoints.conversion import convert
from permsolve.networks.checkpoints.files import Wishes
from permsolve.networks.checkpoints.loading import Loaded
from permsolve.networks.checkpoints.resuming import ResumingExecutor
from permsolve.networks.checkpoints.target import check_target, solved_folder
from tests.cli.conftest import run_command
from tests.networks.checkpoints.tiny import llama, save

Usage = namedtuple("Usage", "total used free")


def _flip(model: Any, _: object = None) -> None:
    """Reverse the inner channels of a feed-forward part."""
    mlp = model.model.layers[0].mlp
    with torch.no_grad():
        for weight, axis in ((mlp.up_proj.weight, 0), (mlp.gate_proj.weight, 0), (mlp.down_proj.weight, 1)):
            weight.copy_(weight.flip(axis))


def _convert(tmp_path: Path, undo: Callable[[Any, object], object] = _flip, *, force: bool = False) -> None:
    """Write a folder whose model is re-ordered, with an axis kept as solved meanwhile."""
    if not (tmp_path / "in").exists():
        save(llama(), tmp_path / "in")

    def change(loaded: Loaded, _: ResumingExecutor) -> None:
        solved_folder(tmp_path / "out").mkdir(parents=True, exist_ok=True)
        _flip(loaded.model)

    convert(
        tmp_path / "in", tmp_path / "out", change, undo=undo, wishes=Wishes(), force=force, on_done=None, on_remark=None
    )


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_whole_folder_and_nothing_else(tmp_path: Path) -> None:
    _convert(tmp_path)
    assert _names(tmp_path) == ["in", "out"]
    assert _names(tmp_path / "in") == _names(tmp_path / "out")


def test_too_little_space_shows_before_the_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room that is needed is known from the files."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 30, 0, 1 << 16))
    monkeypatch.setattr(conversion, "load", None)
    with pytest.raises(InvalidOptionError, match=r"not enough space.* MiB") as caught:
        _convert(tmp_path)
    assert str(tmp_path / "out") in str(caught.value)
    assert _names(tmp_path) == ["in"]


@pytest.mark.parametrize("where", ["mkdtemp", "copy_safetensors"])
def test_what_the_disk_says(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be written to, and a disk that others fill meanwhile: it is named, and nothing is left."""

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS if where == "mkdtemp" else errno.ENOSPC, "no room")

    monkeypatch.setattr(tempfile if where == "mkdtemp" else writing, where, fails)
    with pytest.raises((OSError, InvalidOptionError), match="no room") as caught:
        _convert(tmp_path)
    assert str(tmp_path / "out") in str(caught.value)
    assert _names(tmp_path) == ["in"]


def test_ctrl_c_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The axes that are solved stay, half of an output does not; the next run ends with all of it."""

    def interrupted(_: Any, __: Any, new: Path) -> None:
        new.mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "write_checkpoint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _convert(tmp_path)
    assert _names(tmp_path / ".out.permsolve") == ["solved"]
    _convert(tmp_path)
    assert _names(tmp_path) == ["in", "out"]


def test_ctrl_c_before_anything_is_solved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "load", interrupted)
    save(llama(), tmp_path / "in")
    answer = run_command("permute-checkpoint", tmp_path / "in", "--out", tmp_path / "out")
    assert (answer.code, answer.err) == (130, "permsolve: interrupted: nothing was written\n")
    assert _names(tmp_path) == ["in"]


def _flipped(tensor: torch.Tensor, dtype: torch.dtype, bits: Callable[..., Any] = writing._bytes) -> Any:
    wrong = bits(tensor, dtype).copy()
    wrong[0] ^= 1
    return wrong


@pytest.mark.parametrize("fault", ["bits", "order"])
def test_what_is_not_as_it_should_be_gets_no_name(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit that is lost on the way to the disk, and a tensor in another order than the report says."""
    if fault == "bits":
        monkeypatch.setattr(writing, "_bytes", _flipped)
    with pytest.raises(OSError, match=r"mlp\.\w+\.weight .*nothing is kept"):
        _convert(tmp_path, _flip if fault == "bits" else lambda model, _: model)
    assert _names(tmp_path) == ["in"]


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
    _convert(tmp_path)
    (tmp_path / "out" / "mine.txt").write_text("mine")
    replace = os.replace

    def fails(old: Path, new: Path) -> None:
        if Path(old).name == "new":
            raise OSError(errno.EIO, "no", str(old))
        replace(old, new)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="no"):
        _convert(tmp_path, force=True)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    assert _names(tmp_path) == ["in", "out"]
