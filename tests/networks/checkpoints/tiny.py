"""Tiny checkpoints, made by `transformers` itself."""

from pathlib import Path
from typing import Any

import torch
import transformers as hf

TEXT: dict[str, Any] = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
}


def llama(tied: bool = False) -> Any:
    """A language model."""
    torch.manual_seed(0)
    return hf.LlamaForCausalLM(hf.LlamaConfig(**TEXT, num_key_value_heads=2, tie_word_embeddings=tied))


def build(name: str) -> Any:
    """One of several kinds of models."""
    torch.manual_seed(0)
    if name == "llama":
        return llama()
    if name == "bert":
        return hf.BertForMaskedLM(hf.BertConfig(**TEXT))
    if name == "mixtral":
        return hf.MixtralForCausalLM(hf.MixtralConfig(**TEXT, num_key_value_heads=2, num_local_experts=4))
    if name == "t5":
        t5: dict[str, Any] = {"vocab_size": 48, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4}
        t5["decoder_start_token_id"] = 0
        return hf.T5ForConditionalGeneration(hf.T5Config(**t5))
    if name == "vit":
        sizes: dict[str, Any] = {name: TEXT[name] for name in TEXT if "vocab" not in name and "position" not in name}
        return hf.ViTForImageClassification(hf.ViTConfig(**sizes, image_size=8, patch_size=2))
    if name == "clip":
        vision = {**TEXT, "image_size": 8, "patch_size": 2}
        return hf.CLIPModel(hf.CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=16))
    if name == "whisper":
        return hf.WhisperForConditionalGeneration(
            hf.WhisperConfig(
                vocab_size=48, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
                decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=8,
                max_source_positions=8, max_target_positions=16, pad_token_id=0, decoder_start_token_id=1,
            )
        )  # fmt: skip
    raise LookupError(name)


def save(model: Any, folder: Path, dtype: torch.dtype = torch.float32, shard: str = "1GB") -> Path:
    """Save a model; by default in one file."""
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    return folder
