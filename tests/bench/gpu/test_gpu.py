"""What the benchmark on a GPU measures, as far as a machine without one can tell."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
import typer
from typer.testing import CliRunner

from bench.gpu.__main__ import main
from bench.gpu.blocks import BlockRow, LlamaBlock, measure_block, vit_mlp
from bench.gpu.document import markdown
from bench.gpu.network import Shape, measure_network
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
