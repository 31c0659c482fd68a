"""Tiny models of architectures that `transformers` knows, with random weights; imported only where it is installed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn

VOCABULARY, WIDTH, HEADS, INNER = 48, 32, 4, 64


class Logits(nn.Module):
    """A model that returns one of its outputs only: hidden states that are returned could not be permuted."""

    def __init__(self, model: nn.Module, output: str = "logits", **fixed: Any) -> None:
        super().__init__()
        self.model, self.output, self.fixed = model, output, fixed

    def forward(self, **inputs: Tensor) -> Tensor:
        """The output called ``output``."""
        out: Tensor = getattr(self.model(**inputs, **self.fixed), self.output)
        return out


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    Attributes
    ----------
    name : str
        Its name.
    build : callable
        Makes a tiny model.
    inputs : callable
        Makes example inputs, by keyword.
    coverage : float
        What is at least reached. The rest is depthwise or reads the image (mamba, convnext), or is pinned by heads
        picked by lists of indices, which count as data (falcon).
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], dict[str, Tensor]]
    coverage: float
    fast: bool = False


def _ids(length: int = 6) -> Tensor:
    return torch.randint(3, VOCABULARY, (2, length))


def _pixels(size: int) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(2, 3, size, size, dtype=torch.float64)}


# The names that most configurations of language models share.
_TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED: dict[str, Any] = {**_TEXT, "num_key_value_heads": 2, "head_dim": 8}
_VISION: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "image_size": 8,
    "patch_size": 2,
}


def _causal(name: str, config: str, coverage: float = 0.99, fast: bool = False, **options: Any) -> Architecture:
    return Architecture(
        name,
        lambda: Logits(hf.AutoModelForCausalLM.from_config(getattr(hf, config)(**options)), use_cache=False),
        lambda: {"input_ids": _ids()},
        coverage,
        fast,
    )


def _masked(name: str, config: str, coverage: float = 0.99, fast: bool = False, **options: Any) -> Architecture:
    return Architecture(
        name,
        lambda: Logits(hf.AutoModelForMaskedLM.from_config(getattr(hf, config)(**{**_TEXT, **options}))),
        lambda: {"input_ids": _ids(), "attention_mask": torch.ones(2, 6, dtype=torch.long)},
        coverage,
        fast,
    )


def _both(name: str, config: str, coverage: float = 0.99, fast: bool = False, **options: Any) -> Architecture:
    ends: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 1}
    return Architecture(
        name,
        lambda: Logits(hf.AutoModelForSeq2SeqLM.from_config(getattr(hf, config)(**ends, **options)), use_cache=False),
        lambda: {"input_ids": _ids(), "decoder_input_ids": _ids(5)},
        coverage,
        fast,
    )


def _vision(
    name: str,
    config: str,
    coverage: float = 0.9,
    fast: bool = False,
    size: int = 8,
    model: str | None = None,
    **options: Any,
) -> Architecture:
    def build() -> nn.Module:
        made = getattr(hf, config)(num_labels=10, **options)
        return Logits(getattr(hf, model)(made) if model else hf.AutoModelForImageClassification.from_config(made))

    return Architecture(name, build, lambda: _pixels(size), coverage, fast)


def _clip(text_config: dict[str, Any], vision_config: dict[str, Any], config: str) -> nn.Module:
    made = getattr(hf, config)(text_config=text_config, vision_config=vision_config, projection_dim=16)
    return Logits(hf.AutoModel.from_config(made), "logits_per_image")


def _whisper() -> nn.Module:
    config = hf.WhisperConfig(
        vocab_size=VOCABULARY, d_model=WIDTH, encoder_layers=2, decoder_layers=2, encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS, encoder_ffn_dim=INNER, decoder_ffn_dim=INNER, num_mel_bins=8,
        max_source_positions=8, max_target_positions=16, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1,
    )  # fmt: skip
    return Logits(hf.WhisperForConditionalGeneration(config), use_cache=False)


def _mixtral() -> nn.Module:
    config = hf.MixtralConfig(**_GROUPED, num_local_experts=4, num_experts_per_tok=2)
    # The default runs over the experts that were chosen, which depends on the data.
    return Logits(hf.AutoModelForCausalLM.from_config(config, experts_implementation="batched_mm"), use_cache=False)


_ENCODER_DECODER: dict[str, Any] = {
    "d_model": WIDTH, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS, "encoder_ffn_dim": INNER, "decoder_ffn_dim": INNER,
    "max_position_embeddings": 32,
}  # fmt: skip
_NEO: dict[str, Any] = {
    "num_heads": HEADS,
    "num_layers": 2,
    "attention_types": [[["global", "local"], 1]],
    "window_size": 4,
}

ARCHITECTURES = (
    _causal("llama", "LlamaConfig", fast=True, **_GROUPED),
    _causal("mistral", "MistralConfig", **_GROUPED),
    _causal("qwen2", "Qwen2Config", **{**_GROUPED, "head_dim": 8}),
    _causal("qwen3", "Qwen3Config", **_GROUPED),
    _causal("gemma", "GemmaConfig", **_GROUPED),
    _causal("gemma2", "Gemma2Config", **_GROUPED),
    _causal("gemma3", "Gemma3TextConfig", **_GROUPED),
    _causal("phi", "PhiConfig", **_TEXT),
    _causal("phi3", "Phi3Config", **{**_GROUPED, "head_dim": 8}),
    _causal("gpt2", "GPT2Config", fast=True, vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=2, n_head=HEADS,
            n_positions=32, bos_token_id=1, eos_token_id=2),
    _causal("gpt_neox", "GPTNeoXConfig", **_TEXT),
    _causal("gpt_neo", "GPTNeoConfig", vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INNER,
            max_position_embeddings=32, bos_token_id=1, eos_token_id=2, **_NEO),
    _causal("gptj", "GPTJConfig", vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=2, n_head=HEADS, rotary_dim=4,
            n_positions=32, bos_token_id=1, eos_token_id=2),
    _causal("opt", "OPTConfig", **{**_TEXT, "ffn_dim": INNER, "word_embed_proj_dim": WIDTH}),
    _causal("bloom", "BloomConfig", vocab_size=VOCABULARY, hidden_size=WIDTH, n_layer=2, n_head=HEADS,
            bos_token_id=1, eos_token_id=2),
    _causal(
        "falcon",
        "FalconConfig",
        0.9, **_TEXT, new_decoder_architecture=False, multi_query=True),
    _causal("stablelm", "StableLmConfig", **{**_GROUPED, "head_dim": 8}),
    _causal("olmo2", "Olmo2Config", **{**_GROUPED, "head_dim": 8}),
    _causal("cohere", "CohereConfig", **_GROUPED),
    _causal("starcoder2", "Starcoder2Config", **_GROUPED),
    _causal("granite", "GraniteConfig", **_GROUPED),
    Architecture("mixtral", _mixtral, lambda: {"input_ids": _ids()}, 0.99),
    _causal(
        "mamba",
        "MambaConfig",
        0.97, vocab_size=VOCABULARY, hidden_size=WIDTH, state_size=8, num_hidden_layers=2,
            time_step_rank=8, bos_token_id=1, eos_token_id=2, pad_token_id=0),
    _masked("bert", "BertConfig", fast=True),
    _masked("roberta", "RobertaConfig"),
    _masked("distilbert", "DistilBertConfig", dim=WIDTH, n_layers=2, n_heads=HEADS, hidden_dim=INNER),
    _masked("albert", "AlbertConfig", 0.95, embedding_size=16),
    _masked("electra", "ElectraConfig", embedding_size=16),
    _both("t5", "T5Config", fast=True, d_model=WIDTH, d_kv=8, d_ff=INNER, num_layers=2, num_heads=HEADS),
    _both("t5_gated", "T5Config", d_model=WIDTH, d_kv=8, d_ff=INNER, num_layers=2, num_heads=HEADS,
          feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    _both("bart", "BartConfig", **_ENCODER_DECODER, bos_token_id=1),
    _both("marian", "MarianConfig", **_ENCODER_DECODER, bos_token_id=1),
    _vision("vit", "ViTConfig", fast=True, **_VISION),
    _vision("deit", "DeiTConfig", model="DeiTForImageClassification", **_VISION),
    _vision("dinov2", "Dinov2Config", **_VISION),
    _vision("beit", "BeitConfig", **_VISION),
    _vision("swin", "SwinConfig", size=16, image_size=16, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4],
            window_size=4),
    _vision(
        "convnext",
        "ConvNextConfig",
        0.8, size=16, hidden_sizes=[16, 32], depths=[2, 2], num_stages=2, patch_size=2),
    _vision("resnet", "ResNetConfig", fast=True, size=16, embedding_size=16, hidden_sizes=[64, 128], depths=[2, 2]),
    _vision("mobilenet_v2", "MobileNetV2Config", 0.0, size=32, image_size=32, depth_multiplier=0.25),
    _vision("regnet", "RegNetConfig", size=16, embedding_size=16, hidden_sizes=[32, 64], depths=[1, 2],
            groups_width=8),
    Architecture(
        "clip",
        lambda: _clip({**_TEXT, "max_position_embeddings": 16}, _VISION, "CLIPConfig"),
        lambda: {"input_ids": _ids(), **_pixels(8)},
        0.9,
    ),
    Architecture(
        "siglip",
        lambda: _clip({**_TEXT, "max_position_embeddings": 6}, _VISION, "SiglipConfig"),
        lambda: {"input_ids": _ids(), **_pixels(8)},
        0.8,
    ),
    Architecture(
        "whisper",
        _whisper,
        lambda: {"input_features": torch.randn(2, 8, 16, dtype=torch.float64), "decoder_input_ids": _ids(5)},
        0.9,
    ),
)  # fmt: skip
