"""One-shot pruning of trained networks, on a network that trains in a moment; needs torch."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import typer
from typer.testing import CliRunner

from bench.networks.__main__ import main
from bench.networks.accuracy import Row, measure
from bench.networks.document import markdown
from bench.train.data.idx import load_idx_images
from bench.train.loop import Recipe
from bench.train.networks import load_data, registry
from bench.train.networks.registry import Network
from tests.bench.train.small import Hidden, write_images

RESULTS = Path(__file__).parents[3] / "bench" / "networks" / "results"
RECIPE = Recipe(steps=30, batch=32, learning_rate=1e-2, warmup=3)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data, and a small network of one hidden layer in the place of fashion-mlp."""
    network = Network(Hidden, lambda folder: load_idx_images(folder / "fashion-mnist"), RECIPE)
    monkeypatch.setitem(registry._NETWORKS, "fashion-mlp", network)
    load_data.cache_clear()
    return write_images(tmp_path)


def _measured(data: Path, cache: Path, seed: int) -> Row:
    return measure("fashion-mlp", seed, data, cache, pattern="2:4", solver="local-search", time_limit=0.3, workers=1)


def test_a_network_is_measured_dense_and_pruned_in_both_orders(data: Path, tmp_path: Path) -> None:
    """More magnitude is kept after permuting, and each seed has its own trained network."""
    row, other = _measured(data, tmp_path / "cache", 0), _measured(data, tmp_path / "cache", 1)
    assert 0.5 < row.kept_given < row.kept_permuted < 1.0
    assert row.error < 1e-9
    assert row.coverage == pytest.approx(320 / (784 * 32 + 320))  # fc1 reads the pixels, and is not pruned
    assert row.dense_accuracy > 0.9
    assert row.dense_loss < min(row.given_loss, row.permuted_loss)
    assert other.dense_loss != row.dense_loss
    assert (tmp_path / "cache" / "seed-1" / "fashion-mlp.json").is_file()
    assert replace(_measured(data, tmp_path / "cache", 0), seconds=row.seconds) == row


def test_the_command_writes_rows_and_report(data: Path, tmp_path: Path) -> None:
    """All rows as JSON, the tables as Markdown; what is wrong in one line."""
    app = typer.Typer()
    app.command()(main)
    options = ["--data", str(data), "--cache", str(tmp_path / "cache"), "--network", "fashion-mlp", "--workers", "1"]
    files = ["--out", str(tmp_path / "rows.json"), "--table", str(tmp_path / "report.md")]
    answer = CliRunner().invoke(
        app, [*options, *files, "--seeds", "2", "--solver", "local-search", "--time-limit", "0.2"]
    )
    assert answer.exit_code == 0, answer.output
    rows = [Row(**one) for one in json.loads((tmp_path / "rows.json").read_text())]
    assert [row.seed for row in rows] == [0, 1]
    assert (tmp_path / "report.md").read_text() == markdown(rows)
    assert CliRunner().invoke(app, [*options, "--solver", "none-such", "--seeds", "1"]).exit_code == 2


def test_the_report_of_this_repository_is_that_of_its_rows() -> None:
    """Both networks, three seeds each, more magnitude kept in every run; the tables say what the rows say."""
    rows = [Row(**one) for one in json.loads((RESULTS / "one_shot.json").read_text())]
    assert {(row.network, row.seed) for row in rows} == {
        (name, seed) for name in ("cifar-conv", "char-transformer") for seed in range(3)
    }
    assert all(row.kept_permuted > row.kept_given and row.error < 1e-9 for row in rows)
    text = (RESULTS / "one_shot.md").read_text()
    assert text.endswith(markdown(rows))
    assert len(re.findall(r"^## ", text, flags=re.MULTILINE)) == 3
