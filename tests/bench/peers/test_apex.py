"""Apex's searches as solvers, against a stand-in that has its documented entry points."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.peers import APEX_VARIABLE, PEERS
from bench.peers import apex as adapter
from bench.runner import read_rows
from permsolve import Problem, registry, solve
from permsolve.errors import SolverUnavailableError, UnsupportedProblemError
from permsolve.registry import register_solver

# Reverses the columns; leaves a cache where it runs, prints, and draws from the global generator, as the real one does.
EXHAUSTIVE = """
from .permutation_utilities import *

def Exhaustive_Search(matrix, stripe_group_size=-1, escape_attempts=0, permutation=None):
    print("searching")
    with open("cache", "w") as stream:
        stream.write(f"{stripe_group_size} {escape_attempts} {np.random.randint(1000)}")
    assert type(matrix) is np.ndarray and matrix.flags.c_contiguous
    matrix[:] = 0.0
    return matrix, 0.0, [c for c in range(matrix.shape[1])][::-1] if escape_attempts else shifted(matrix.shape[1])
"""
UTILITIES = """
import numpy as np

def shifted(columns):
    return list(range(2, columns)) + [0, 1]
"""
SWAP = """
from .permutation_utilities import *

def Channel_Swap(matrix, escape_attempts=0, verbosity=0, permutation=None):
    return matrix, 0.0, np.array(shifted(matrix.shape[1]))
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out as Apex's, whose packages cannot be imported as such (the real ones need CUDA)."""
    folder = tmp_path / "checkout" / adapter.KERNELS
    folder.mkdir(parents=True)
    for parent in (folder, *folder.parents[:3]):
        (parent / "__init__.py").write_text("raise RuntimeError('needs CUDA')\n")
    files = {"exhaustive_search": EXHAUSTIVE, "permutation_utilities": UTILITIES, "channel_swap": SWAP}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setenv(APEX_VARIABLE, str(tmp_path / "checkout"))
    monkeypatch.setattr(registry, "_ADDED", {})
    registry.refresh()
    _forget()
    for name, target in PEERS.items():
        register_solver(name, target)
    return tmp_path / "checkout"


def _forget() -> None:
    adapter._module.cache_clear()
    for name in [name for name in sys.modules if name.startswith(adapter._PACKAGE)]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _clean() -> object:
    yield
    registry.refresh()
    _forget()


def _problem() -> Problem:
    # Columns in pairs of large and small: moving two columns on is better than the given order.
    return Problem(np.tile([3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0], (3, 1)) + np.eye(3, 8))


@pytest.mark.usefixtures("checkout")
def test_searches_are_solvers(capsys: pytest.CaptureFixture[str]) -> None:
    """Their permutations become results; the problem, the folder and the screen stay as they were."""
    problem, folder = _problem(), Path.cwd()
    before = problem.saliency.copy()
    shifted = [2, 3, 4, 5, 6, 7, 0, 1]
    result = solve(problem, "apex-stripe-groups", escapes=0, window=12)
    assert result.value == problem.value(shifted) > problem.baseline
    assert solve(problem, "apex-channel-swap").value == problem.value(shifted)
    assert solve(problem, "apex-stripe-groups", escapes=5).value == problem.baseline
    np.testing.assert_array_equal(problem.saliency, before)
    assert Path.cwd() == folder
    assert not Path("cache").exists()
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("checkout")
def test_only_what_apex_can_do() -> None:
    """Other patterns and widths are refused."""
    for problem in (Problem(np.ones((2, 8)), "1:2"), Problem(np.ones((2, 6)))):
        with pytest.raises(UnsupportedProblemError, match="2:4"):
            solve(problem, "apex-channel-swap")


def test_no_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said."""
    (checkout / adapter.KERNELS / "channel_swap.py").unlink()
    with pytest.raises(SolverUnavailableError, match="no checkout of Apex"):
        solve(_problem(), "apex-channel-swap")
    monkeypatch.delenv(APEX_VARIABLE)
    with pytest.raises(SolverUnavailableError, match="--apex"):
        solve(_problem(), "apex-stripe-groups")


def test_on_the_same_rows(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--apex` lets them take part beside the others."""
    monkeypatch.delenv(APEX_VARIABLE)
    out = tmp_path / "run.jsonl"
    arguments = ["own", "--instance", "8x16@1", "--solver", "greedy", "--apex", str(checkout), "-o", str(out)]
    answer = CliRunner().invoke(app, ["run", *arguments])
    assert answer.exit_code == 0, answer.output
    assert {row["solver"]: row["error"] for row in read_rows(out)} == dict.fromkeys(["greedy", *PEERS])
    os.environ.pop(APEX_VARIABLE, None)
