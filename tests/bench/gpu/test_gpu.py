"""What the benchmark on a GPU measures, as far as a machine without one can tell."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("torch")

import torch
import typer
from typer.testing import CliRunner

from bench.gpu.__main__ import _alone, main
from bench.gpu.blocks import BlockRow, LlamaBlock, measure_block, vit_mlp
from bench.gpu.document import markdown
from bench.gpu.network import Shape, measure_network
from bench.gpu.stand_in import HostRow, measure_host
from bench.gpu.weights import heavy_tailed
from permsolve.kernels.device.availability import obstacle
from tests.networks.sparse.emulation import Emulation


def test_blocks_are_timed_dense_masked_and_sparse() -> None:
    """All their layers are turned, and the outputs stay, to the rounding of the type."""
    for name, make, width, layers in (
        ("block", lambda: LlamaBlock(64, 128, 4), 64, 7),
        ("mlp", lambda: vit_mlp(64, 128), 64, 2),
    ):
        row = measure_block(name, make, width, 32, device="cpu", hardware=Emulation())
        assert (row.name, row.tokens, row.layers, row.sparse_layers) == (name, 32, layers, layers)
        assert (row.dense_ms, row.masked_ms) == (2.0, 2.0)
        assert row.error < 0.02


def test_a_block_is_causal() -> None:
    """A token reads those before it only, as in a decoder."""
    torch.manual_seed(0)
    block = LlamaBlock(32, 64, 2).eval()
    x = torch.randn(6, 32)
    other = x.clone()
    other[4:] += 1.0
    torch.testing.assert_close(block(x)[:4], block(other)[:4])
    assert not torch.allclose(block(x)[4:], block(other)[4:])


def test_all_axes_of_a_network() -> None:
    """Heads, MLPs and the residual stream with the rows of all that read it, each kept better than before."""
    shape = Shape(layers=2, width=16, inner=24, heads=2)
    rows = list(measure_network(shape, device="cpu", head_seconds=0.05, axis_seconds=0.1, residual=0.1))
    assert [(row.axes, row.columns, row.rows) for row in rows] == [(4, 8, 16), (2, 24, 16), (1, 16, 2 * (48 + 48))]
    for row in rows:
        assert row.seconds > 0.0
        assert 0.5 < row.kept_before < row.kept_after < 1.0


def test_what_the_host_does_is_timed_without_a_gpu() -> None:
    """Up to a local optimum, with the work that a GPU would have."""
    row = measure_host(64, 16, workers=1)
    assert (row.columns, row.rows, row.workers) == (64, 16, 1)
    assert row.host_seconds > 0.0
    assert row.matrices > 1.0
    assert row.calls > 3
    assert row.efficacy > 30.0


@pytest.mark.parametrize("large", [0, 1 << 40])
def test_weights_are_of_the_distribution_they_claim(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    """However many cores draw them, and one after another the same."""
    monkeypatch.setattr("bench.gpu.weights.PART", 20_000)
    monkeypatch.setattr("bench.gpu.weights.AT_ONCE", 7_000)
    weight = heavy_tailed(100, 1000, 1)
    monkeypatch.setattr("permsolve.cores.LARGE", large)
    np.testing.assert_array_equal(heavy_tailed(100, 1000, 1), weight)
    assert stats.kstest(weight.ravel(), lambda x: 2.0 * stats.t(4).cdf(x) - 1.0).pvalue > 1e-3


def test_the_table() -> None:
    """A heading for each kind of row that is there, and a dash for what is not known."""
    text = markdown({"gpu": "none"}, [BlockRow("block", 32, 1.0, 1.5, 0.5, 6, 7, 1e-3)], "command")
    assert "Measured on gpu none, by `command`." in text
    assert "| block | 32 | 1 | 1.5 | 0.5 | 6 | 7 | 0.001 |" in text
    assert "local optimum" not in text


@pytest.mark.skipif(obstacle() is None, reason="this machine has a GPU")
def test_without_a_gpu_there_is_one_line(tmp_path: Path) -> None:
    """And nothing is written; a typing error is named first."""
    app = typer.Typer()
    app.command()(main)
    answer = CliRunner().invoke(app, ["--out", str(tmp_path / "gpu"), "--part", "exchange"])
    assert answer.exit_code == 2
    assert "bench.gpu needs a GPU: " in answer.output
    assert not (tmp_path / "gpu").exists()
    answer = CliRunner().invoke(app, ["--out", str(tmp_path / "gpu"), "--part", "exchnge"])
    assert answer.exit_code == 2
    assert "exchnge" in answer.output


def test_the_host_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are written with the machine and the command."""
    row = HostRow(8, 4, 2, 0.5, 1.5, 7, 50.0)
    monkeypatch.setattr("bench.gpu.stand_in.measure_host", lambda columns, rows: row)
    app = typer.Typer()
    app.command()(main)
    answer = CliRunner().invoke(app, ["--out", str(tmp_path), "--part", "host"])
    assert answer.exit_code == 0, answer.output
    machine, first, *_ = map(json.loads, (tmp_path / "gpu.jsonl").read_text().splitlines())
    assert "gpu" not in machine
    assert first == {"kind": "HostRow", **asdict(row)}
    assert "`python -m bench.gpu --out DIR --part host`" in (tmp_path / "gpu.md").read_text()


def test_a_part_that_fails_keeps_no_other_from_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a folder; the exit code says that something failed."""
    asked: list[tuple[str, Path]] = []

    def alone(part: str, out: Path) -> int:
        asked.append((part, out))
        return int(part == "exchange")

    monkeypatch.setattr("bench.gpu.__main__.gpu", lambda: {"gpu": "none"})
    monkeypatch.setattr("bench.gpu.__main__._alone", alone)
    app = typer.Typer()
    app.command()(main)
    answer = CliRunner().invoke(app, ["--out", str(tmp_path)])
    assert answer.exit_code == 1
    assert "exchange failed" in answer.output
    assert asked == [(part, tmp_path / part) for part in ("exchange", "blocks", "search", "network")]


def test_a_part_alone_is_a_process_of_its_own(tmp_path: Path) -> None:
    """Here one that ends at once: there is no such part."""
    assert _alone("exchnge", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()
