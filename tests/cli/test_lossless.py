"""``permsolve lossless``."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from permsolve import solve
from permsolve.status import StopReason


def test_command(run: Callable[..., Any], tmp_path: Path) -> None:
    """Prints the curve; writes the permutation and the study."""
    weight = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
    np.save(tmp_path / "w.npy", weight)
    options = ("--solver", "exhaustive", "--out", tmp_path / "p.npy")
    answer = run("lossless", tmp_path / "w.npy", *options, "--json", tmp_path / "s.json")
    assert answer.code == 0
    assert "proven impossible" in answer.out
    assert "between" not in answer.out  # the optimum leaves nothing there
    assert (
        "between: identity found nothing, which is no proof"
        in run("lossless", tmp_path / "w.npy", "--solver", "identity").out
    )
    study = json.loads((tmp_path / "s.json").read_text())
    assert study["permutation"] == np.load(tmp_path / "p.npy").tolist()
    assert study["proven_lower"] <= study["sparsity"] <= study["given_order"]
    alone = run("lossless", tmp_path / "w.npy", "--solver", "exhaustive", "--json", "-")
    assert json.loads(alone.out)["sparsity"] == study["sparsity"]
    assert run("lossless", tmp_path / "w.npy", "--out", tmp_path / "p.txt").code == 2
    assert run("lossless", tmp_path / "none.npy").code == 2


def test_an_interruption(run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known by then is printed and written, and the exit code says that it is not all."""
    np.save(tmp_path / "w.npy", np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32))
    monkeypatch.setattr(
        "permsolve.lossless.solve",
        lambda *args, **kwargs: dataclasses.replace(solve(*args, **kwargs), stop_reason=StopReason.INTERRUPTED),
    )
    answer = run("lossless", tmp_path / "w.npy", "--solver", "exhaustive", "--out", tmp_path / "p.npy")
    assert answer.code == 130
    assert "drops no nonzero" in answer.out
    assert "interrupted" in answer.err
    assert sorted(np.load(tmp_path / "p.npy")) == list(range(16))
