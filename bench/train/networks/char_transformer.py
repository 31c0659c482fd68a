"""A decoder-only transformer that tells the next character of a text."""

import torch
from torch import Tensor, nn
from torch.nn import functional

ALPHABET = 65
LENGTH = 64
WIDTH = 256
HEADS = 8
BLOCKS = 6
# Standard deviation of initial weights; the layers that write to the residual stream start smaller, since
# 2 * BLOCKS of them add up.
SPREAD = 0.04


class Block(nn.Module):
    """Causal attention, then a feed-forward part, each with its normalisation before it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)
        for layer in (self.qkv, self.proj, self.up, self.down):
            scale = (2 * BLOCKS) ** -0.5 if layer in (self.proj, self.down) else 1.0
            nn.init.normal_(layer.weight, std=SPREAD * scale)
            nn.init.zeros_(layer.bias)

    def forward(self, stream: Tensor) -> Tensor:
        """Add to the residual stream, shape (batch, length, WIDTH)."""
        batch, length, _ = stream.shape
        parts = self.qkv(self.norm1(stream)).view(batch, length, 3, HEADS, WIDTH // HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        heads = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        stream = stream + self.proj(heads.transpose(1, 2).reshape(batch, length, WIDTH))
        added: Tensor = self.down(functional.gelu(self.up(self.norm2(stream))))
        return stream + added


class CharTransformer(nn.Module):
    """Six blocks of width 256 with 8 heads, learned positions, a head of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = nn.Embedding(ALPHABET, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, ALPHABET, bias=False)
        for layer in (self.characters, self.positions, self.head):
            nn.init.normal_(layer.weight, std=SPREAD)

    def forward(self, text: Tensor) -> Tensor:
        """Logits, shape (batch, length, ALPHABET), of what follows each character of ``text`` (batch, length)."""
        stream = self.characters(text) + self.positions(torch.arange(text.shape[1], device=text.device))
        for block in self.blocks:
            stream = block(stream)
        logits: Tensor = self.head(self.norm(stream))
        return logits
