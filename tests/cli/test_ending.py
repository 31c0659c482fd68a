"""How commands end: streams that fail, faults of the package, and exit codes that say what happened all the same."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from permsolve.cli.entry import _spare_threads
from permsolve.result import Result
from tests.cli.conftest import Answer

Run = Callable[..., Answer]


@pytest.fixture
def command() -> list[str]:
    """Runs in a process of its own, where the shell's redirections can be tried."""
    return [sys.executable, "-m", "permsolve"]


@pytest.fixture
def environment() -> dict[str, str]:
    """The one of this process, in which the package is found."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_a_fault_has_a_code_of_its_own(run: Run, weight_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the kind and how to see the place; code 1 says that a check failed, and nothing else."""

    def broken(*_: object) -> None:
        raise TypeError("unhashable\ntype")

    monkeypatch.setattr("permsolve.io.weight_file.open_weights", broken)
    monkeypatch.delenv("PERMSOLVE_TRACEBACK", raising=False)
    answer = run("check", weight_file)
    package = __name__.partition(".")[0]  # where it was raised
    said = f"{package} failed: TypeError: unhashable type (PERMSOLVE_TRACEBACK=1 shows where)"
    assert (answer.code, answer.err) == (70, f"permsolve: error: {said}\n")
    monkeypatch.setenv("PERMSOLVE_TRACEBACK", "1")
    answer = run("check", weight_file)
    assert answer.code == 70
    assert "in broken" in answer.err


def test_a_fault_of_the_package_is_called_so(run: Run, weight_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised in it is not put on others."""
    monkeypatch.setattr("permsolve.io.weight_file.open_weights", None)
    monkeypatch.delenv("PERMSOLVE_TRACEBACK", raising=False)
    answer = run("check", weight_file)
    assert answer.code == 70
    assert answer.err.startswith("permsolve: error: a fault of permsolve itself: TypeError: ")


def test_no_more_threads_is_no_fault(run: Run, weight_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is refused one, it is said in those words."""

    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("permsolve.io.weight_file.open_weights", refused)
    answer = run("check", weight_file)
    assert answer.code == 2
    assert "grants no more threads" in answer.err


@pytest.mark.skipif(os.name == "nt", reason="uses a shell of POSIX")
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>&1 | true"])
def test_streams_that_fail_change_no_code(
    weight_file: Path, command: list[str], environment: dict[str, str], redirection: str
) -> None:
    """A missing file is wrong input, whoever hears of it."""
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    script = f'"$@" {redirection.removesuffix(" | true")}; exit $?'
    if redirection.endswith("| true"):
        script = '{ "$@" 2>&1; echo $? >code; } | true; while ! test -s code; do sleep 0.01; done; exit "$(cat code)"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command, "check", "nothere.npy"],
        cwd=weight_file.parent,
        env=environment,
        stdout=subprocess.PIPE,
    )
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.skipif(os.name == "nt", reason="uses a shell of POSIX")
def test_a_file_never_takes_the_place_of_a_closed_stream(
    weight_file: Path, command: list[str], environment: dict[str, str]
) -> None:
    """What is written to stderr must not end up in the first file that is opened."""
    out = weight_file.with_name("p.npy")
    arguments = ["solve", str(weight_file), "--solver", "nothing-of-this-name", "--out", str(out)]
    done = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command, *arguments], env=environment)
    assert done.returncode == 2
    arguments[3] = "greedy"
    done = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command, *arguments], env=environment)
    assert done.returncode == 0
    assert sorted(np.load(out)) == list(range(18))


def test_a_full_disk_is_an_error_of_stdout(command: list[str], environment: dict[str, str]) -> None:
    """Results that are not written are not said to be; Python's end adds nothing to it."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([*command, "solvers"], env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "permsolve: error: reading or writing failed: No space left on device\n"


def test_a_result_that_stdout_does_not_take_is_kept(
    run: Run, weight_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search was long; the line says where its result lies."""

    def flush(_: io.StringIO) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    full = type("Full", (io.StringIO,), {"flush": flush})()
    monkeypatch.setattr("permsolve.cli.outputs.sys", SimpleNamespace(stdout=full))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = run("solve", weight_file, "--solver", "identity", "-q", "--json", "-")
    (kept,) = tmp_path.glob("permsolve-*/result.json")
    assert answer.code == 2
    assert answer.err == f"permsolve: error: standard output: No space left on device: it was written to {kept}\n"
    assert sorted(Result.load(kept).permutation.tolist()) == list(range(18))


@pytest.mark.parametrize(("granted", "threads"), [(0, "1"), (10**6, "4")])
def test_libraries_start_no_threads_that_are_not_granted(
    granted: int, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenBLAS would end the program as if by Ctrl-C."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    for name in names:
        monkeypatch.setenv(name, "4")
    monkeypatch.setattr("permsolve.cores.granted_threads", lambda wanted: granted)
    monkeypatch.setattr("permsolve.cli.entry.sys", SimpleNamespace(modules={}))
    _spare_threads()
    assert [os.environ[name] for name in names] == [threads] * 3
