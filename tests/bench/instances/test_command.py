"""Listing instances on the command line."""

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from bench.cli import app


def test_lists_sets_and_files(tmp_path: Path) -> None:
    """Sets, single instances and the user's own files, measured where asked."""
    np.save(tmp_path / "mine.npy", np.ones((4, 8), np.float32))
    answer = CliRunner().invoke(app, ["instances", "planted-8x16@1", "--measure", "--file", str(tmp_path / "mine.npy")])
    assert answer.exit_code == 0
    assert "planted-8x16@1" in answer.output
    assert "mine" in answer.output
    assert "50.00 %" in answer.output
    assert CliRunner().invoke(app, ["instances"]).output.count("uniform") > 50


def test_wrong_names_are_one_line(tmp_path: Path) -> None:
    """Exit code 2, and what is wrong."""
    answer = CliRunner().invoke(app, ["instances", "publishd"])
    assert answer.exit_code == 2
    assert "publishd" in answer.output
    answer = CliRunner().invoke(app, ["instances", "--file", str(tmp_path / "none.npy")])
    assert answer.exit_code == 2
    assert "none.npy" in answer.output
