"""Calibrated pruning of trained networks, on a network that trains in a moment; needs torch."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import typer
from typer.testing import CliRunner

from bench.networks.calibrated import UPDATES, Case, cases
from bench.networks.compression import main, markdown, read


def test_rows_are_measured_once_and_told_in_a_table(data: Path, tmp_path: Path) -> None:
    """Fitting lowers the error of the layers; a second run measures nothing; a typing error is named."""
    app = typer.Typer()
    app.command()(main)
    out, table = tmp_path / "rows.jsonl", tmp_path / "table.md"
    options = ["--data", str(data), "--cache", str(tmp_path / "cache"), "--out", str(out), "--workers", "1"]
    grid = ["--network", "fashion-mlp", "--saliency", "obs", "--order", "given", "--order", "auto", "--seeds", "2"]
    run = [*options, *grid, "--time-limit", "0.2", "--table", str(table)]
    answer = CliRunner().invoke(app, run)
    assert answer.exit_code == 0, answer.output
    rows = {row.case: row for row in read(out)}
    assert list(rows) == cases(["fashion-mlp"], 2, "2:4", ["obs"], ["given", "auto"], UPDATES)
    for order in ("given", "auto"):
        plain, fitted, exchanged, in_order = (
            rows[Case("fashion-mlp", 0, "2:4", "obs", order, update)] for update in UPDATES
        )
        assert fitted.layer_error < plain.layer_error
        if order == "given":  # a search that time ends may find another order each time
            assert fitted.kept == plain.kept
            assert exchanged.layer_error < fitted.layer_error
            # Only one layer is pruned, so that there is no earlier one.
            assert in_order.layer_error == pytest.approx(exchanged.layer_error, rel=1e-2)
    before = out.read_text()
    assert CliRunner().invoke(app, run).exit_code == 0
    assert out.read_text() == before
    assert table.read_text() == markdown(list(rows.values()))
    assert "| obs | auto | in order |" in table.read_text()
    assert CliRunner().invoke(app, [*options, "--order", "best"]).exit_code == 2
