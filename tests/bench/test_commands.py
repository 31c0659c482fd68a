"""Commands that print, and the micro-benchmarks, run once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.plans import PLANS

ROOT = Path(__file__).parents[2]


def test_plans() -> None:
    """Every plan, with its size."""
    answer = CliRunner().invoke(app, ["plans"])
    assert answer.exit_code == 0
    assert all(name in answer.output for name in PLANS)


def test_scoreboard() -> None:
    """One line for each instance and solver; a solver that refuses has no numbers."""
    options = ["--solver", "greedy", "--solver", "exhaustive", "--time-limit", "0.5", "--seeds", "1"]
    answer = CliRunner().invoke(app, ["scoreboard", "16x8@1", "8x32@1", *options])
    assert answer.exit_code == 0, answer.output
    assert "uniform-16x8@1 exhaustive seed 0: " in answer.output
    refused = next(line for line in answer.output.splitlines() if line.startswith("uniform-8x32@1 exhaustive"))
    assert "%" not in refused


def test_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exit code 3, and what to install."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    for name in [name for name in sys.modules if name.startswith("bench.report.") and name != "bench.report.headline"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "run.jsonl").write_text("")
    answer = CliRunner().invoke(app, ["report", str(tmp_path / "run.jsonl"), "-o", str(tmp_path)])
    assert answer.exit_code == 3
    assert ".[bench]" in answer.output


def test_micro_benchmarks_are_right() -> None:
    """Each kernel gives what its naive version gives; nothing is timed here."""
    pytest.importorskip("pytest_benchmark")
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "pytest", "bench/micro", "--benchmark-disable", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths})
    assert ran.returncode == 0, ran.stdout
    assert "20 passed" in ran.stdout
