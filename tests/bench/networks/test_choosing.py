"""Choosing among permutations, on a network that trains in a moment; needs torch."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import typer
from typer.testing import CliRunner

from bench.networks.choosing import CHOICES, main, markdown, read


def test_the_least_error_is_chosen(data: Path, tmp_path: Path) -> None:
    """One group, so that the choices are whole permutations; a second run measures nothing."""
    app = typer.Typer()
    app.command()(main)
    out, table = tmp_path / "rows.jsonl", tmp_path / "table.md"
    run = [
        "--data", str(data), "--cache", str(tmp_path / "cache"), "--out", str(out), "--workers", "1", "--seeds", "2",
        "--network", "fashion-mlp", "--count", "3", "--time-limit", "0.2", "--table", str(table),
    ]  # fmt: skip
    answer = CliRunner().invoke(app, run)
    assert answer.exit_code == 0, answer.output
    rows = read(out)
    assert list(rows) == ["fashion-mlp/0/2:4/obs/3", "fashion-mlp/1/2:4/obs/3"]
    for row in rows.values():
        assert tuple(row) == CHOICES
        assert row["least error"].layer_error == min(one.layer_error for one in row.values())
        assert row["most error"].layer_error == max(one.layer_error for one in row.values())
        assert row["most score"].kept == max(one.kept for one in row.values())
    before = out.read_text()
    assert CliRunner().invoke(app, run).exit_code == 0
    assert out.read_text() == before
    assert table.read_text() == markdown(rows)
    assert "| fashion-mlp | 2:4 | obs | 3 | 2 | least error |" in table.read_text()
    assert CliRunner().invoke(app, [*run, "--network", "other"]).exit_code == 2
