"""``permsolve compress``, used as a person would."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

import tokenizers
import transformers
from safetensors.torch import load_file

from permsolve.networks import is_nm
from permsolve.networks.checkpoints.calibration_data import read_batches
from permsolve.networks.checkpoints.folder import CheckpointFolder
from tests.cli.conftest import Answer, run_command
from tests.networks.checkpoints.tiny import build, llama, save

QUICK = ("--time-limit", "0.3", "--workers", "1", "--solver", "local-search")


def _with_tokenizer(folder: Path, words: int = 40) -> Path:
    """Words w0, w1, ... are tokens 0, 1, ..."""
    model = tokenizers.models.WordLevel({f"w{number}": number for number in range(words)}, unk_token="w0")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0").save_pretrained(folder)
    return folder


def _texts(path: Path, lines: int = 60) -> Path:
    rng = np.random.default_rng(0)
    path.write_text("\n".join(" ".join(f"w{word}" for word in rng.integers(0, 40, 12)) for _ in range(lines)))
    return path


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for shard in folder.glob("*.safetensors") for name, tensor in load_file(shard).items()}


def test_a_language_model_and_texts(tmp_path: Path) -> None:
    """All but the head is N:M, names and types as before; fitted weights change the logits less than masks do."""
    source = _with_tokenizer(save(llama(), tmp_path / "in", shard="20KB"))
    texts = _texts(tmp_path / "texts.txt")
    errors = {}
    for recipe in ("auto", "magnitude"):
        report = tmp_path / f"{recipe}.json"
        answer = run_command(
            "compress", source, "--calibration", texts, "--out", tmp_path / recipe, "--recipe", recipe, *QUICK,
            "--length", "16", "--report", report,
        )  # fmt: skip
        assert (answer.code, answer.err) == (0, "")
        assert "\nmodel.layers.0.mlp.down_proj.weight" in answer.out
        errors[recipe] = json.loads(report.read_text())["output_error"]
        before, after = _tensors(source), _tensors(tmp_path / recipe)
        assert {name: tensor.dtype for name, tensor in before.items()} == {
            name: tensor.dtype for name, tensor in after.items()
        }
        for name, tensor in after.items():
            assert tensor.ndim == 1 or is_nm(tensor) == ("_proj" in name)
        assert (tmp_path / recipe / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()
    assert errors["auto"] < 0.8 * errors["magnitude"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_arguments_by_name(tmp_path: Path) -> None:
    """An encoder with its mask, and images, from arrays."""
    rng = np.random.default_rng(0)
    cases: dict[str, dict[str, Any]] = {
        "bert": {"input_ids": rng.integers(0, 48, (20, 8)), "attention_mask": np.ones((20, 8), np.int32)},
        "vit": {"pixel_values": rng.standard_normal((20, 3, 8, 8))},
    }
    for name, arrays in cases.items():
        source = save(build(name), tmp_path / name)
        np.savez(tmp_path / "data.npz", **arrays)
        answer = run_command(
            "compress", source, "--calibration", tmp_path / "data.npz", "--out", tmp_path / f"{name}-out", *QUICK,
            "--pattern", "1:4", "--recipe", "no-update", "--memory-limit", "0.0001", "-q",
        )  # fmt: skip
        assert (answer.code, answer.out, answer.err) == (0, "", "")
        assert any(is_nm(tensor, "1:4") for tensor in _tensors(tmp_path / f"{name}-out").values() if tensor.ndim == 2)


def test_how_texts_are_read(tmp_path: Path) -> None:
    """A generating model reads all tokens in equal parts; an encoder each line for itself, equal lengths together."""
    texts = tmp_path / "texts.txt"
    texts.write_text("w1 w2 w3\n\nw4 w5 w6\nw7\n")
    folder = CheckpointFolder.open(_with_tokenizer(save(llama(), tmp_path / "llama")))
    assert _listed(read_batches(texts, folder, llama(), 8, 3)) == [[[1, 2, 3], [4, 5, 6]]]
    assert _listed(read_batches(texts, folder, llama(), 1, 3)) == [[[1, 2, 3]]]
    assert _listed(read_batches(texts, folder, llama(), 8, 99)) == [[[1, 2, 3, 4, 5, 6, 7]]]
    assert _listed(read_batches(texts, folder, build("bert"), 8, 2)) == [[[1, 2], [4, 5]], [[7]]]


def _listed(batches: list[dict[str, torch.Tensor]]) -> list[Any]:
    return [batch["input_ids"].tolist() for batch in batches]


def test_what_cannot_calibrate(tmp_path: Path) -> None:
    """One line that names file and remedy; nothing is written."""
    source = save(llama(), tmp_path / "in")
    texts = _texts(tmp_path / "texts.txt")

    def arrays(**named: Any) -> Path:
        np.savez(tmp_path / "data.npz", **named)
        return tmp_path / "data.npz"

    ids = np.zeros((4, 6), np.int64)
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04")
    cases: list[tuple[Callable[[], Path], str]] = [
        (lambda: texts, "no tokenizer"),
        (lambda: tmp_path / "empty.txt", "no text"),
        (lambda: tmp_path / "bytes.txt", "UTF-8"),
        (lambda: tmp_path / "missing.txt", "No such file"),
        (lambda: tmp_path / "data.json", ".npz"),
        (lambda: tmp_path / "broken.npz", "damaged"),
        (lambda: arrays(), "there are none"),
        (lambda: arrays(words=ids), "no argument 'words'"),
        (lambda: arrays(input_ids=ids, attention_mask=ids[:2]), "input_ids: 4, attention_mask: 2"),
        (lambda: arrays(input_ids=ids[:0]), "at least one"),
        (lambda: arrays(input_ids=np.array([None])), "pickled"),
        (lambda: arrays(input_ids=np.array([["a"]])), "array of numbers"),
        (lambda: arrays(inputs_embeds=np.full((2, 3, 32), np.nan)), "NaN"),
        (lambda: arrays(input_ids=ids + 48), "cannot be called"),
    ]
    for made, words in cases:
        path = made()
        answer = run_command("compress", source, "--calibration", path, "--out", tmp_path / "out", *QUICK)
        assert _refused(answer, words, path.name), (answer, words)
    named = ("--calibration", arrays(input_ids=ids), "--out", tmp_path / "out", *QUICK)
    for extra, words in (
        (("--recipe", "best"), "unknown recipe"),
        (("--report", tmp_path / "report.txt"), ".json"),
        *((("--memory-limit", wrong), "number of GiB > 0, got " + wrong) for wrong in ("0", "-1", "nan", "inf")),
        (("--memory-limit", "1e-9"), "--memory-limit 9.31e-10 GiB is less than the "),
        (("--memory-limit", "1e-9"), "needs alone: give more, or leave it out with --exclude"),
        (("--pattern", "4:2"), "4:2"),
    ):
        assert _refused(run_command("compress", source, *named, *extra), words, "")
    folder = _with_tokenizer(save(llama(), tmp_path / "large"), words=60)
    texts.write_text("w59 w1")
    assert _refused(
        run_command("compress", folder, "--calibration", texts, "--out", tmp_path / "out", *QUICK), "knows 48", "large"
    )
    t5 = save(build("t5"), tmp_path / "t5")
    assert _refused(
        run_command("compress", t5, "--calibration", texts, "--out", tmp_path / "out", *QUICK), "one text alone", ""
    )
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def _refused(answer: Answer, words: str, name: str) -> bool:
    return answer.code == 2 and answer.err.count("\n") == 1 and words in answer.err and name in answer.err
