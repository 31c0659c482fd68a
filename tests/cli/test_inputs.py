"""Calibrated saliencies on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from permsolve import Problem, Result
from permsolve.moments import InputMoments
from tests.cli.test_commands import QUICK, Run


@pytest.mark.parametrize("saliency", ["wanda", "obs"])
def test_solve_takes_moments(run: Run, weight_file: Path, tmp_path: Path, saliency: str) -> None:
    """A vector holds mean squares, a square matrix all second moments; the value is that of the saliency."""
    weight = np.load(weight_file)
    features = int(np.prod(weight.shape[1:]))
    moments = InputMoments.from_samples(np.random.default_rng(0).normal(size=(200, features)))
    inputs, document = tmp_path / "x.npy", tmp_path / "r.json"
    assert moments.second_moment is not None
    np.save(inputs, moments.second_moment[0] if saliency == "obs" else moments.mean_square[0])
    options = ("--saliency", saliency, "--inputs", inputs)
    assert run("solve", weight_file, *QUICK, *options, "--json", document).code == 0
    result = Result.load(document)
    problem = Problem.from_weight(weight, "2:4", saliency, moments)
    assert result.value == pytest.approx(problem.value(result.permutation))
    assert result.baseline == pytest.approx(problem.baseline)
    assert "can be permuted" in run("inspect", weight_file, *options).out
    assert run("bound", weight_file, "--time-limit", "0.1", *options).code == 0


def test_all_takes_moments_by_name(run: Run, tmp_path: Path) -> None:
    """Each weight has its own; one that is missing is named."""
    rng = np.random.default_rng(1)
    source, inputs = tmp_path / "w.safetensors", tmp_path / "x.safetensors"
    save_file({"a": rng.normal(size=(8, 8)), "b": rng.normal(size=(8, 12))}, source)
    save_file({"a": rng.random(8), "b": rng.random(12)}, inputs)
    options = ("--all", "--saliency", "ria", "--inputs", inputs)
    assert run("solve", source, *QUICK, *options).code == 0
    save_file({"a": rng.random(8), "c": rng.random(12)}, inputs)
    answer = run("solve", source, *QUICK, *options)
    assert answer.code == 2
    assert "no moments for 'b'" in answer.err


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_apply_prunes_by_what_was_solved_for(run: Run, weight_file: Path, tmp_path: Path, suffix: str) -> None:
    """What is written keeps the value of the result; a result solved for another saliency is refused."""
    weight, scale = np.load(weight_file), np.random.default_rng(0).random(18) ** 4
    inputs, document, pruned = tmp_path / "x.npy", tmp_path / "r.json", tmp_path / "wp.npy"
    np.save(inputs, scale)
    options = ("--saliency", "wanda", "--inputs", inputs)
    run("solve", weight_file, *QUICK, *options, "--json", document)
    result = Result.load(document)
    assert result.saliency == "wanda"
    saved = document.with_suffix(suffix)
    result.save(saved)
    apply = ("apply", weight_file, saved, "--out", pruned, "--prune")
    refused = run(*apply)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"{saved.name}: solved for saliency 'wanda', and --prune would go by 'magnitude'" in refused.err
    assert not pruned.exists()
    assert run(*apply, *options).code == 0
    scores = Problem.from_weight(weight, "2:4", "wanda", InputMoments(scale)).saliency[:, result.permutation]
    assert scores[np.load(pruned) != 0].sum() == pytest.approx(result.value)
    assert "--inputs is for --prune" in run(*apply[:-1], *options).err
    older = json.loads(document.read_text())
    del older["saliency"]
    document.write_text(json.dumps(older))
    assert run("apply", weight_file, document, "--out", pruned, "--prune").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--saliency", "wanda"), "by --inputs"),
        (("--inputs", "x.npy"), "'magnitude' is none"),
        (("--inputs", "x.npy", "--saliency", "obd"), "do not fit a weight"),
        (("--inputs", "x.npy", "--saliency", "obs"), "only their mean squares"),
    ],
)
def test_what_does_not_go_together_is_said(
    run: Run, weight_file: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    """In one line, before anything is solved."""
    monkeypatch.chdir(weight_file.parent)
    np.save("x.npy", np.ones(3))
    answer = run("solve", weight_file, *options)
    assert answer.code == 2
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1
