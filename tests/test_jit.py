"""Compiled kernels on disk: a help, and never needed; and signals that wait for the compiler."""

import errno
import importlib.util
import logging
import os
import pickle
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core.caching import CompileResultCacheImpl

from permsolve import jit

SOURCE = """
def twice(x):
    return x + x
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for kernels."""
    folder = tmp_path / "kernels"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    jit._say_once.cache_clear()
    return folder


@pytest.fixture
def kernel(tmp_path: Path, cache: Path) -> Callable[[], Any]:
    """Makes the kernel of a file, as every process does."""
    path = tmp_path / "source.py"
    path.write_text(SOURCE)

    def made() -> Any:
        spec = importlib.util.spec_from_file_location("source", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return jit.njit(cache=True)(module.twice)

    return made


def files(cache: Path, suffix: str) -> list[Path]:
    """Those of the cache with this suffix."""
    return sorted(cache.rglob(f"*{suffix}"))


def from_disk(kernel: Any) -> bool:
    """Whether a kernel was not compiled."""
    assert kernel(2) == 4
    return bool(kernel.stats.cache_hits)


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "something").touch()


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "empty": lambda file: os.truncate(file, 0),
    "cut off early": lambda file: os.truncate(file, 20),
    "cut off late": lambda file: os.truncate(file, file.stat().st_size - 1),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "one bit": _flip,
    "not sealed": lambda file: file.write_bytes(pickle.dumps(numba.__version__)),
    "gone": Path.unlink,
    "of no process": lambda file: file.chmod(0),
}


@pytest.mark.parametrize("suffix", [".nbi", ".nbc", ".nb?"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_written_anew(kernel: Callable[[], Any], cache: Path, damage: str, suffix: str) -> None:
    """The kernel is compiled once more, and found the next time."""
    assert not from_disk(kernel())
    assert from_disk(kernel())
    for file in files(cache, suffix):
        DAMAGE[damage](file)
    if damage == "of no process" and os.access(files(cache, ".nbi")[0], os.R_OK):
        pytest.skip("this user may read anything")
    assert not from_disk(kernel())
    assert from_disk(kernel())


def test_folders_in_the_place_of_files(
    kernel: Callable[[], Any], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be replaced either is remarked on once."""
    assert not from_disk(kernel())
    for file in files(cache, ".nbi"):
        _folder(file)
    with caplog.at_level(logging.WARNING, "permsolve"):
        assert not from_disk(kernel())
        assert not from_disk(kernel())
    assert [record.message for record in caplog.records if "NUMBA_CACHE_DIR" in record.message] == caplog.messages
    assert len(caplog.messages) == 1


def test_a_full_disk_is_a_remark(
    kernel: Callable[[], Any], cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel runs, and no part of a file is left."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", full)
    with caplog.at_level(logging.WARNING, "permsolve"):
        assert not from_disk(kernel())
    assert len(caplog.messages) == 1
    assert "No space left on device" in caplog.messages[0]
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_no_place_is_a_remark(
    kernel: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Kernels are compiled in every process where none can be kept."""
    monkeypatch.setattr(CompileResultCacheImpl, "_locator_classes", [])
    with caplog.at_level(logging.WARNING, "permsolve"):
        for _ in range(3):
            assert not from_disk(kernel())
    assert len(caplog.messages) == 1
    assert "NUMBA_CACHE_DIR" in caplog.messages[0]


def test_two_processes_do_not_mix_signatures(kernel: Callable[[], Any], cache: Path) -> None:
    """Of two that begin with an empty folder, the code of one never stands under the signature of the other."""
    first = kernel()
    assert first(2) == 4
    aside = cache.with_name("aside")
    shutil.move(cache, aside)
    second = kernel()
    assert second(0.5) == 1.0
    names = {file.name for file in files(aside, ".nbc")}
    assert names.isdisjoint(file.name for file in files(cache, ".nbc"))
    shutil.copytree(aside, cache, dirs_exist_ok=True)  # the index of the first one is the last that is written
    third = kernel()
    assert (third(2), third(0.5)) == (4, 1.0)


@pytest.fixture
def listening() -> Iterator[None]:
    """Ctrl-C raises, also where the tests run in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.usefixtures("listening")
def test_ctrl_c_waits_for_the_compiler(kernel: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes when the kernel is compiled, and what was compiled can be used."""
    made, steps = kernel(), []
    compiled = made._compiler.compile

    def interrupted(*arguments: object) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        steps.append("begun")
        result = compiled(*arguments)
        steps.append("done")
        return result

    monkeypatch.setattr(made._compiler, "compile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made(2)
    assert steps == ["begun", "done"]
    assert made(2) == 4
    assert steps == ["begun", "done"]
