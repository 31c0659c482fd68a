"""Calls that reach all towers of a model, and what happens to those that no call reaches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

import transformers as hf
from safetensors.torch import load_file

from permsolve.networks.checkpoints.examples import example_calls
from permsolve.networks.checkpoints.files import Wishes
from permsolve.networks.checkpoints.folder import SINGLE, CheckpointFolder
from permsolve.networks.checkpoints.loading import load
from permsolve.networks.checkpoints.outputs import Outputs
from tests.cli.conftest import run_command
from tests.networks.checkpoints.tiny import TEXT, llama, save

QUICK = ("--time-limit", "0.2", "--workers", "1", "--solver", "local-search")
LLAMA: dict[str, Any] = {**TEXT, "model_type": "llama", "num_key_value_heads": 2, "vocab_size": 100}
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 8,
    "patch_size": 2, "model_type": "clip_vision_model", "projection_dim": 32,
}  # fmt: skip
WAVES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "conv_dim": [16, 16],
    "conv_kernel": [4, 3], "conv_stride": [2, 2], "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 2, "vocab_size": 40,
}  # fmt: skip
BART: dict[str, Any] = {
    "vocab_size": 100, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
}  # fmt: skip


def _llava() -> Any:
    return hf.LlavaForConditionalGeneration(
        hf.LlavaConfig(vision_config=VISION, text_config=LLAMA, image_token_index=99)
    )


def _qwen_audio() -> Any:
    audio = {
        "model_type": "qwen2_audio_encoder", "num_mel_bins": 16, "encoder_layers": 1, "encoder_attention_heads": 4,
        "encoder_ffn_dim": 64, "d_model": 32, "max_source_positions": 20,
    }  # fmt: skip
    text = {**LLAMA, "model_type": "qwen2"}
    return hf.Qwen2AudioForConditionalGeneration(
        hf.Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=99)
    )


@pytest.mark.parametrize(
    ("made", "arguments", "unreached"),
    [
        (_llava, [{"input_ids", "pixel_values"}, {"input_ids"}], ()),
        (_qwen_audio, [{"input_ids", "input_features", "feature_attention_mask"}, {"input_ids"}], ()),
        (lambda: hf.Wav2Vec2ForCTC(hf.Wav2Vec2Config(**WAVES)), [{"input_values"}], ("wav2vec2.masked_spec_embed",)),
        (
            lambda: hf.BartForSequenceClassification(hf.BartConfig(**BART)),
            [{"input_ids", "decoder_input_ids"}],
            (),
        ),
        (
            lambda: hf.GPT2ForSequenceClassification(
                hf.GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=4, n_positions=64)
            ),
            [{"input_ids"}],
            (),
        ),
    ],
)
def test_calls_are_made_after_the_configuration(
    made: Callable[[], Any], arguments: list[set[str]], unreached: tuple[str, ...], tmp_path: Path
) -> None:
    """Pictures and sounds stand in the places of their tokens, and tokens alone are another way through the model."""
    torch.manual_seed(0)
    loaded = load(CheckpointFolder.open(save(made(), tmp_path / "in")), Wishes())
    examples = example_calls(Outputs(loaded.model), loaded)
    assert [set(call) for call in examples.calls] == arguments
    assert examples.unreached == unreached


def test_a_tower_that_no_call_reaches(tmp_path: Path) -> None:
    """With a text alone (--inputs), the tower for pictures stays bit for bit, and pictures are read as before."""
    torch.manual_seed(0)
    source = save(_llava(), tmp_path / "in")
    np.savez(tmp_path / "text.npz", input_ids=np.arange(12).reshape(2, 6))
    run = ("permute-checkpoint", source, "--out", tmp_path / "out", *QUICK, "--inputs")
    answer = run_command(*run, tmp_path / "text.npz")
    assert answer.code == 0, answer.err
    assert answer.err.count("\n") == 1
    assert "no example reaches model.multi_modal_projector" in answer.err
    assert "--inputs" in answer.err
    before, after = load_file(source / SINGLE), load_file(tmp_path / "out" / SINGLE)
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert moved
    assert not any("vision_tower" in name or "projector" in name for name in moved)
    call = {"input_ids": torch.tensor([[1, 2, *[99] * 16, 3]]), "pixel_values": torch.randn(1, 3, 8, 8)}
    with torch.no_grad():
        old, new = (
            hf.LlavaForConditionalGeneration.from_pretrained(path)(**call).logits for path in (source, tmp_path / "out")
        )
    torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("made", [_llava, _qwen_audio])
def test_all_towers_are_permuted(made: Callable[[], Any], tmp_path: Path) -> None:
    """The command makes the calls itself; with features or without, the logits are as they were."""
    torch.manual_seed(0)
    source = save(made(), tmp_path / "in")
    answer = run_command("permute-checkpoint", source, "--out", tmp_path / "out", *QUICK)
    assert (answer.code, answer.err) == (0, "")
    loaded, permuted = (load(CheckpointFolder.open(path), Wishes()) for path in (source, tmp_path / "out"))
    for call in example_calls(Outputs(loaded.model), loaded).calls:
        with torch.no_grad():
            old, new = (one.model(**call).logits for one in (loaded, permuted))
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)
    before, after = load_file(source / SINGLE), load_file(tmp_path / "out" / SINGLE)
    assert any("tower" in name for name, tensor in after.items() if not torch.equal(tensor, before[name]))


def test_wrong_inputs(tmp_path: Path) -> None:
    """A file that is none, an argument that the model lacks, a call that it does not take: one line each."""
    source = save(llama(), tmp_path / "in")
    np.savez(tmp_path / "words.npz", words=np.zeros((1, 4), np.int64))
    np.savez(tmp_path / "high.npz", input_ids=np.full((1, 4), 99))
    for name, words in (("none.npz", "No such file"), ("words.npz", "'words'"), ("high.npz", "cannot be called")):
        answer = run_command(
            "permute-checkpoint", source, "--out", tmp_path / "out", *QUICK, "--inputs", tmp_path / name
        )
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert words in answer.err
        assert name in answer.err
    assert not (tmp_path / "out").exists()
