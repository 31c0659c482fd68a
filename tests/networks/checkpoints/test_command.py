"""``permsolve permute-checkpoint``, used as a person would."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

import transformers
from safetensors.torch import load_file

from permsolve.cli.checkpoints import run_conversion
from permsolve.errors import InvalidOptionError
from permsolve.networks import apply_, is_nm
from permsolve.networks.checkpoints import permute_checkpoint
from permsolve.networks.checkpoints.folder import INDEX, SINGLE
from permsolve.networks.checkpoints.resuming import ResumingExecutor
from tests.cli.conftest import Answer, run_command
from tests.networks.checkpoints.tiny import build, llama, save

QUICK = ("--time-limit", "0.3", "--workers", "1", "--solver", "local-search")


def _logits(folder: Path) -> torch.Tensor:
    """Of some fixed tokens, in float64."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.arange(40).view(4, 10), use_cache=False).logits
    return logits


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for shard in folder.glob("*.safetensors") for name, tensor in load_file(shard).items()}


def _left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)])
def test_the_same_function_in_the_same_shards(dtype: torch.dtype, tmp_path: Path) -> None:
    """Several shards, names and types as before, other numbers in other places, the same logits."""
    source = save(llama(), tmp_path / "in", dtype, shard="20KB")
    answer = run_command(
        "permute-checkpoint", source, "--out", tmp_path / "out", *QUICK, "--report", tmp_path / "report.json"
    )
    assert answer.code == 0, answer.err
    assert answer.err == ""
    assert " model.layers.0" in answer.out
    assert (tmp_path / "report.json").stat().st_size > 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in source.iterdir())
    assert len(list(out.glob("*.safetensors"))) > 1
    for name in (INDEX, "config.json"):
        assert (out / name).read_bytes() == (source / name).read_bytes()
    before, after = _tensors(source), _tensors(out)
    assert before.keys() == after.keys()
    changed = [name for name, tensor in after.items() if not torch.equal(tensor, before[name])]
    assert len(changed) == 9  # all but the norms, which are ones
    for name, tensor in after.items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor.flatten().sort().values, before[name].flatten().sort().values)
    assert _left_over(tmp_path) == []
    repeated = transformers.AutoModelForCausalLM.from_pretrained(source)
    apply_(repeated, tmp_path / "report.json")  # its names are those of the checkpoint
    for name, tensor in repeated.state_dict().items():
        assert torch.equal(tensor, after[name])
    # Some of the model runs in float32 whatever its type.
    torch.testing.assert_close(_logits(out), _logits(source), rtol=1e-4, atol=1e-6)


def test_prune(tmp_path: Path) -> None:
    """What counts is N:M afterwards; the head is left out unless it is named."""
    source = save(llama(tied=True), tmp_path / "in")
    answer = run_command(
        "permute-checkpoint", source, "--out", tmp_path / "out", *QUICK, "--prune", "--quiet", "--exclude", "*.v_proj"
    )
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    pruned = {name for name, tensor in _tensors(tmp_path / "out").items() if tensor.ndim == 2 and is_nm(tensor)}
    parts = (
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.o_proj",
        "mlp.up_proj",
        "mlp.gate_proj",
        "mlp.down_proj",
    )
    assert pruned == {f"model.layers.0.{part}.weight" for part in parts}
    only_head = ("--prune", "--include", "lm_head", "--pattern", "1:4", "-q")
    answer = run_command("permute-checkpoint", source, "--out", tmp_path / "head", *QUICK, *only_head)
    assert answer.code == 0, answer.err
    pruned = {name for name, tensor in _tensors(tmp_path / "head").items() if tensor.ndim == 2 and is_nm(tensor, "1:4")}
    assert pruned == {"model.embed_tokens.weight"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "mixtral", "t5", "vit"])
def test_other_architectures(name: str, tmp_path: Path) -> None:
    """Encoders, experts that are stored one by one, two stacks, images: verified by the command itself."""
    source = save(build(name), tmp_path / "in")
    answer = run_command("permute-checkpoint", source, "--out", tmp_path / "out", *QUICK)
    assert answer.code == 0, answer.err
    before, after = _tensors(source), _tensors(tmp_path / "out")
    assert any(not torch.equal(after[name], tensor) for name, tensor in before.items())


def test_nothing_is_overwritten_unless_told(tmp_path: Path) -> None:
    """A folder that exists is refused; --force replaces all of it."""
    source = save(llama(), tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    answer = run_command("permute-checkpoint", source, "--out", tmp_path / "out", *QUICK)
    assert answer.code == 2
    assert "--force" in answer.err
    assert (tmp_path / "out" / "old.txt").exists()
    assert run_command("permute-checkpoint", source, "--out", tmp_path / "out", *QUICK, "--force").code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "generation_config.json",
        SINGLE,
    ]
    for target, words in (
        (source, "that is the input"),
        (source / "inner", "that is the input"),
        (tmp_path / "no" / "out", "does not exist"),
        (tmp_path, "that is the input"),
    ):
        answer = run_command("permute-checkpoint", source, "--out", target, *QUICK, "--force")
        assert answer.code == 2
        assert words in answer.err


@pytest.mark.parametrize("command", ["permute-checkpoint", "compress"])
def test_a_report_is_checked_before_any_work(command: str, tmp_path: Path) -> None:
    """It replaces nothing that is read or made, and what could not be written shows before the model is loaded."""
    source, out, texts = tmp_path / "in", tmp_path / "out", tmp_path / "texts.json"
    source.mkdir()
    (source / "config.json").write_text("{}")
    texts.write_text("a text")
    calibration = () if command == "permute-checkpoint" else ("--calibration", texts)
    wrong = [
        (source / "config.json", "is inside of"),
        (out / "report.json", "is inside of"),
        (tmp_path / "no" / "report.json", "does not exist"),
        (tmp_path / "report.txt", "name it .json"),
        *([(texts, "that is the input")] if calibration else []),
    ]
    for report, words in wrong:
        answer = run_command(command, source, "--out", out, *calibration, "--report", report)
        assert answer.code == 2
        assert f"--report {report}: " in answer.err
        assert words in answer.err
    assert (source / "config.json").read_text() == "{}"


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C keeps the axes that are solved, and the next run does not solve them again."""
    source = save(llama(), tmp_path / "in")
    arguments = ("permute-checkpoint", source, "--out", tmp_path / "out", *QUICK)
    solved: list[str] = []
    submit = ResumingExecutor.submit

    def interrupted(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if len(solved) == 2:
            raise KeyboardInterrupt
        solved.append("")
        return submit(self, fn, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ResumingExecutor, "submit", interrupted)
        answer = run_command(*arguments)
    assert answer.code == 130
    assert "goes on" in answer.err
    assert not (tmp_path / "out").exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / ".out.permsolve" / "solved").iterdir()}
    assert len(kept) == 2
    removed: list[Path] = []
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: removed.append(Path(path)))
    assert run_command(*arguments).code == 0
    assert tmp_path / ".out.permsolve" in removed
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    torch.testing.assert_close(_logits(tmp_path / "out"), _logits(source), rtol=1e-4, atol=1e-6)


def test_wrong_input(tmp_path: Path) -> None:
    """A folder that is none, an architecture unknown, a package missing: one line, nothing written."""

    def run(folder: Path) -> Answer:
        return run_command("permute-checkpoint", folder, "--out", tmp_path / "out", *QUICK)

    assert "not a folder" in run(tmp_path / "none").err
    source = save(llama(), tmp_path / "in")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "architectures": ["Dreamer"]}))
    answer = run(source)
    assert answer.code == 2
    assert "no architecture Dreamer" in answer.err
    assert not (tmp_path / "out").exists()
    assert _left_over(tmp_path) == []
    shutil.rmtree(source)


def test_without_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says which extra brings what it needs."""
    source = save(llama(), tmp_path / "in")
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    answer = run_command("permute-checkpoint", source, "--out", tmp_path / "out")
    assert answer.code == 3
    assert "permsolve[hf]" in answer.err


def test_a_checkpoint_takes_no_gathers(tmp_path: Path) -> None:
    source = save(llama(), tmp_path / "in")
    with pytest.raises(InvalidOptionError, match="no place for gathers"):
        permute_checkpoint(source, tmp_path / "out", gather="allowed")
    assert not (tmp_path / "out").exists()


def test_remedies_are_options_of_the_command(tmp_path: Path) -> None:
    """What the library calls exclude= is --exclude here."""

    def convert(on_done: object, on_remark: object) -> Any:
        raise InvalidOptionError("include='x' matches no layer: leave it out with exclude=, or calibrate anew")

    with pytest.raises(InvalidOptionError, match=r"^--include 'x' matches .* with --exclude, or calibrate anew$"):
        run_conversion("compress", tmp_path / "out", convert, None, quiet=True)
