"""Whole transformers and their relatives: embeddings, tied heads, mixers, experts."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks.zoo.attention import HEADS, INNER, WIDTH, heads, joined, rotary
from tests.networks.zoo.case import Case, Inputs, images, net, sequences, tokens, weight

VOCABULARY = 20


class _Block(nn.Module):
    """One block; where the norm stands, whether the halves are parallel, and gating are options."""

    def __init__(
        self, norm: Callable[[int], nn.Module], *, after: bool, parallel: bool, gated: bool, rotate: bool, keys: int
    ) -> None:
        super().__init__()
        self.after, self.parallel, self.rotate = after, parallel, rotate
        self.norm1, self.norm2 = norm(WIDTH), norm(WIDTH)
        self.q, self.k, self.v = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, keys), nn.Linear(WIDTH, keys)
        self.o, self.up, self.down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 32), nn.Linear(32, WIDTH)
        self.gate = nn.Linear(WIDTH, 32) if gated else None

    def attend(self, x: Tensor) -> Tensor:
        """Self-attention."""
        q, k, v = heads(self.q(x)), heads(self.k(x)), heads(self.v(x))
        if self.rotate:
            q, k = rotary(q), rotary(k)
        out: Tensor = self.o(joined(F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)))
        return out

    def think(self, x: Tensor) -> Tensor:
        """Feed forward."""
        h = F.gelu(self.up(x)) if self.gate is None else F.silu(self.gate(x)) * self.up(x)
        out: Tensor = self.down(h)
        return out

    def forward(self, x: Tensor) -> Tensor:
        if self.after:
            x = self.norm1(x + self.attend(x))
            return self.norm2(x + self.think(x))  # type: ignore[no-any-return]
        if self.parallel:
            return x + self.attend(self.norm1(x)) + self.think(self.norm2(x))
        x = x + self.attend(self.norm1(x))
        return x + self.think(self.norm2(x))


class _Decoder(nn.Module):
    """Embedding, positions, two blocks, norm, head."""

    table: Tensor

    def __init__(
        self,
        *,
        norm: Callable[[int], nn.Module] = nn.LayerNorm,
        places: str = "learned",
        tied: bool = False,
        after: bool = False,
        parallel: bool = False,
        gated: bool = False,
        keys: int = WIDTH,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.embed, self.places, self.scale = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0), places, scale
        if places == "learned":
            self.place = nn.Embedding(8, WIDTH)
        elif places == "buffer":
            self.register_buffer("table", torch.randn(8, WIDTH))
        elif places == "unsaved":
            self.register_buffer("table", torch.randn(8, WIDTH), persistent=False)
        options: dict[str, Any] = {"after": after, "parallel": parallel, "gated": gated, "keys": keys}
        self.blocks = nn.ModuleList(_Block(norm, rotate=places == "rotary", **options) for _ in range(2))
        self.norm, self.head = norm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) * self.scale
        length = ids.shape[1]
        if self.places == "learned":
            x = x + self.place(torch.arange(length))
        elif self.places in ("buffer", "unsaved"):
            x = x + self.table[:length]
        elif self.places == "waves":
            angle = torch.arange(length)[:, None] / 100 ** (torch.arange(WIDTH // 2) / 8)
            x = x + torch.cat([angle.sin(), angle.cos()], -1).to(x.dtype)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(self.norm(x))
        return out


def _blocks(*names: str) -> tuple[str, ...]:
    return tuple(f"blocks.{n}.{name}" for n in range(2) for name in names)


_ALL = (*_blocks("q", "k", "v", "o", "up", "down"), "head")
_GATED = (*_blocks("q", "k", "v", "o", "up", "gate", "down"), "head")


class _Mixer(nn.Module):
    """MLP-Mixer: one pair of layers over the places, one over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(12, WIDTH), nn.Linear(WIDTH, 10)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.place1, self.place2 = nn.Linear(5, 16), nn.Linear(16, 5)
        self.channel1, self.channel2 = nn.Linear(WIDTH, 32), nn.Linear(32, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        s = self.stem(x)
        s = s + self.place2(F.gelu(self.place1(self.norm1(s).transpose(1, 2)))).transpose(1, 2)
        s = s + self.channel2(F.gelu(self.channel1(self.norm2(s))))
        out: Tensor = self.head(s.mean(1))
        return out


class _Vit(nn.Module):
    """Patches by a strided convolution, class token, positions, encoder layers of torch."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        self.patch, self.start, self.place = nn.Conv2d(3, WIDTH, 2, 2), weight(1, 1, WIDTH), weight(1, 10, WIDTH)
        self.layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, 0.0, "gelu", batch_first=True, norm_first=norm_first)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.start.expand(x.shape[0], -1, -1), x], 1) + self.place
        out: Tensor = self.head(self.norm(self.layer(x))[:, 0])
        return out


class _Window(nn.Module):
    """Swin: attention in shifted windows, relative positions, patches merged."""

    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm1, self.norm2 = nn.Conv2d(3, WIDTH, 1), nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 32), nn.Linear(32, WIDTH)
        self.merge, self.head, self.bias = nn.Linear(4 * WIDTH, 24), nn.Linear(24, 10), weight(9, HEADS)
        place = torch.arange(2)
        row, column = (p.flatten() for p in torch.meshgrid(place, place, indexing="ij"))
        index = (row[:, None] - row + 1) * 3 + column[:, None] - column + 1
        self.register_buffer("index", index)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).permute(0, 2, 3, 1)
        batch, height, width, _ = x.shape
        h = torch.roll(self.norm1(x), (-1, -1), (1, 2))
        h = h.view(batch, height // 2, 2, width // 2, 2, WIDTH).transpose(2, 3).reshape(-1, 4, WIDTH)
        q, k, v = self.qkv(h).view(-1, 4, 3, HEADS, INNER).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) + self.bias[self.index.flatten()].view(4, 4, HEADS).permute(2, 0, 1)
        h = self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, 4, WIDTH))
        h = h.view(batch, height // 2, width // 2, 2, 2, WIDTH).transpose(2, 3).reshape(batch, height, width, WIDTH)
        x = x + torch.roll(h, (1, 1), (1, 2))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        x = torch.cat([x[:, ::2, ::2], x[:, 1::2, ::2], x[:, ::2, 1::2], x[:, 1::2, 1::2]], -1)
        out: Tensor = self.head(self.merge(x).mean((1, 2)))
        return out


class _Experts(nn.Module):
    """A mixture of four experts in the residual stream; the routing is an option."""

    def __init__(self, routing: str) -> None:
        super().__init__()
        self.stem, self.router, self.head = nn.Linear(12, WIDTH), nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 10)
        self.routing = routing
        if routing == "stacked":
            self.ups, self.downs = weight(4, WIDTH, 24), weight(4, 24, WIDTH)
        else:
            self.experts = nn.ModuleList(
                nn.Sequential(nn.Linear(WIDTH, 24), nn.GELU(), nn.Linear(24, WIDTH)) for _ in range(4)
            )

    def forward(self, x: Tensor) -> Tensor:
        s = self.stem(x)
        share = self.router(s).softmax(-1)
        if self.routing != "soft" and self.routing != "stacked":
            top, chosen = share.topk(2, -1)
            share = torch.zeros_like(share).scatter(-1, chosen, top / top.sum(-1, keepdim=True))
        if self.routing == "stacked":
            hidden = F.gelu(torch.einsum("bld,edh->bleh", s, self.ups))
            mixed = torch.einsum("bleh,ehd,ble->bld", hidden, self.downs, share)
        elif self.routing == "dispatch":
            flat, flat_share = s.flatten(0, 1), share.flatten(0, 1)
            mixed = torch.zeros_like(flat)
            for number, expert in enumerate(self.experts):
                rows = flat_share[:, number].nonzero().squeeze(-1)
                mixed = mixed.index_add(0, rows, expert(flat[rows]) * flat_share[rows, number, None])
            mixed = mixed.view_as(s)
        else:
            mixed = sum(share[..., n : n + 1] * expert(s) for n, expert in enumerate(self.experts))
        out: Tensor = self.head(s + mixed)
        return out


_EXPERTS = ("router", *(f"experts.{n}.{part}" for n in range(4) for part in (0, 2)), "head")


def _spatial_gating(m: Any, x: Tensor) -> Tensor:
    s = m.stem(x)
    left, right = F.gelu(m.up(m.norm(s))).chunk(2, -1)
    gate = m.places(m.norm_gate(right).transpose(1, 2)).transpose(1, 2)
    return m.head(s + m.down(left * gate))  # type: ignore[no-any-return]


def _fourier(m: Any, x: Tensor) -> Tensor:
    s = m.stem(x)
    s = m.norm(s + torch.fft.fft(s, dim=1).real)
    return m.head(s + m.down(F.gelu(m.up(s))))  # type: ignore[no-any-return]


def _fourier_both(m: Any, x: Tensor) -> Tensor:
    s = m.stem(x)
    s = m.norm(s + torch.fft.fft(torch.fft.fft(s, dim=-1), dim=-2).real)
    return m.head(s + m.down(F.gelu(m.up(s))))  # type: ignore[no-any-return]


def _encoder_decoder(m: Any, source: Tensor, target: Tensor) -> Tensor:
    return m.head(m.core(m.stem(source), m.stem(target)))  # type: ignore[no-any-return]


def _both_ids() -> Inputs:
    return {"source": torch.randint(0, VOCABULARY, (2, 5)), "target": torch.randint(0, VOCABULARY, (2, 4))}


def _rescaled(m: Any, ids: Tensor) -> Tensor:
    return m.fc2(F.relu(m.fc1(m.embed(ids))))  # type: ignore[no-any-return]


def _layer(prefix: str) -> tuple[str, ...]:
    return (f"{prefix}.self_attn.out_proj", f"{prefix}.linear1", f"{prefix}.linear2")


def _stack(**parts: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: net(
        lambda m, x: m.head(m.layer(m.stem(x))),
        stem=nn.Linear(12, WIDTH),
        head=nn.Linear(WIDTH, 10),
        **{name: part() for name, part in parts.items()},
    )


CASES = (
    Case("decoder", _Decoder, tokens(VOCABULARY), _ALL, "one permutation for the residual stream"),
    Case("decoder_tied", lambda: _Decoder(tied=True), tokens(VOCABULARY), _ALL, "embedding and head are one weight"),
    Case("decoder_post_norm", lambda: _Decoder(after=True), tokens(VOCABULARY), _ALL),
    Case("decoder_parallel", lambda: _Decoder(parallel=True), tokens(VOCABULARY), _ALL),
    Case(
        "decoder_llama",
        lambda: _Decoder(norm=nn.RMSNorm, places="rotary", gated=True, keys=INNER),
        tokens(VOCABULARY),
        _GATED,
        "rotary positions, grouped queries, SwiGLU, RMSNorm",
    ),
    Case(
        "decoder_gemma",
        lambda: _Decoder(norm=nn.RMSNorm, places="rotary", gated=True, tied=True, scale=4.0),
        tokens(VOCABULARY),
        _GATED,
    ),
    Case(
        "decoder_places_in_buffer", lambda: _Decoder(places="buffer"), tokens(VOCABULARY), _ALL, "a saved table follows"
    ),
    Case(
        "decoder_places_unsaved",
        lambda: _Decoder(places="unsaved"),
        tokens(VOCABULARY),
        _blocks("o", "down"),
        "the table is not saved: it pins the residual stream",
    ),
    Case(
        "decoder_places_waves",
        lambda: _Decoder(places="waves"),
        tokens(VOCABULARY),
        _blocks("o", "down"),
        "the positions are in the code: they pin the residual stream",
    ),
    Case(
        "encoder_layer",
        _stack(layer=lambda: nn.TransformerEncoderLayer(WIDTH, HEADS, 32, 0.0, batch_first=True)),
        sequences(12),
        (*_layer("layer"), "head"),
    ),
    Case(
        "encoder_stack",
        _stack(
            layer=lambda: nn.TransformerEncoder(
                nn.TransformerEncoderLayer(WIDTH, HEADS, 32, 0.0, batch_first=True, norm_first=True),
                2,
                enable_nested_tensor=False,
            )
        ),
        sequences(12),
        (*_layer("layer.layers.0"), *_layer("layer.layers.1"), "head"),
    ),
    Case(
        "decoder_layer",
        lambda: net(
            lambda m, x, y: m.head(m.layer(m.stem(x), m.memory(y))),
            stem=nn.Linear(12, WIDTH),
            memory=nn.Linear(12, WIDTH),
            head=nn.Linear(WIDTH, 10),
            layer=nn.TransformerDecoderLayer(WIDTH, HEADS, 32, 0.0, batch_first=True),
        ),
        sequences(12, count=2),
        (*_layer("layer"), "layer.multihead_attn.out_proj", "head"),
    ),
    Case(
        "encoder_decoder",
        lambda: net(
            _encoder_decoder,
            stem=nn.Embedding(VOCABULARY, WIDTH),
            head=nn.Linear(WIDTH, VOCABULARY),
            core=nn.Transformer(WIDTH, HEADS, 1, 1, 32, 0.0, batch_first=True),
        ),
        _both_ids,
        (
            *_layer("core.encoder.layers.0"),
            *_layer("core.decoder.layers.0"),
            "core.decoder.layers.0.multihead_attn.out_proj",
            "head",
        ),
    ),
    Case("vit", lambda: _Vit(True), images(3), (*_layer("layer"), "head")),
    Case("vit_post_norm", lambda: _Vit(False), images(3), (*_layer("layer"), "head")),
    Case(
        "swin",
        _Window,
        images(3, 4),
        ("qkv", "o", "up", "down", "merge", "head"),
        "the merged patches are four blocks of the residual stream",
    ),
    Case(
        "mixer",
        _Mixer,
        sequences(12),
        ("place2", "channel1", "channel2", "head"),
        "places are the caller's, the hidden axis between place1 and place2 is free",
    ),
    Case(
        "spatial_gating",
        lambda: net(
            _spatial_gating,
            stem=nn.Linear(12, WIDTH),
            norm=nn.LayerNorm(WIDTH),
            up=nn.Linear(WIDTH, 32),
            norm_gate=nn.LayerNorm(16),
            places=nn.Linear(5, 5),
            down=nn.Linear(16, WIDTH),
            head=nn.Linear(WIDTH, 10),
        ),
        sequences(12),
        ("up", "down", "head"),
    ),
    Case(
        "fourier_over_places",
        lambda: net(
            _fourier,
            stem=nn.Linear(12, WIDTH),
            norm=nn.LayerNorm(WIDTH),
            up=nn.Linear(WIDTH, 32),
            down=nn.Linear(32, WIDTH),
            head=nn.Linear(WIDTH, 10),
        ),
        sequences(12),
        ("up", "down", "head"),
    ),
    Case(
        "fourier_over_both",
        lambda: net(
            _fourier_both,
            stem=nn.Linear(12, WIDTH),
            norm=nn.LayerNorm(WIDTH),
            up=nn.Linear(WIDTH, 32),
            down=nn.Linear(32, WIDTH),
            head=nn.Linear(WIDTH, 10),
        ),
        sequences(12),
        ("down",),
        "the transform over channels pins the stream",
    ),
    Case("experts_soft", lambda: _Experts("soft"), sequences(12), _EXPERTS),
    Case("experts_top", lambda: _Experts("top"), sequences(12), _EXPERTS, "the choice is over experts, not channels"),
    Case(
        "experts_stacked",
        lambda: _Experts("stacked"),
        sequences(12),
        ("router", "head"),
        "the experts are in parameters that do not count as prunable, but follow",
    ),
    Case(
        "experts_dispatch",
        lambda: _Experts("dispatch"),
        sequences(12),
        (),
        "row counts depend on the data: permuted or refused",
    ),
    Case(
        "embedding",
        lambda: net(_rescaled, embed=nn.Embedding(VOCABULARY, 16), fc1=nn.Linear(16, 24), fc2=nn.Linear(24, 10)),
        tokens(VOCABULARY),
        ("fc1", "fc2"),
    ),
    Case(
        "embedding_max_norm",
        lambda: net(
            _rescaled, embed=nn.Embedding(VOCABULARY, 16, max_norm=1.0), fc1=nn.Linear(16, 24), fc2=nn.Linear(24, 10)
        ),
        tokens(VOCABULARY),
        ("fc2",),
        "the lookup rewrites the table: left alone or followed",
    ),
    Case(
        "embedding_bag",
        lambda: net(
            lambda m, ids: m.fc2(F.relu(m.fc1(m.embed(ids)))),
            embed=nn.EmbeddingBag(VOCABULARY, 16, mode="mean"),
            fc1=nn.Linear(16, 24),
            fc2=nn.Linear(24, 10),
        ),
        tokens(VOCABULARY),
        ("fc1", "fc2"),
    ),
    Case(
        "one_hot",
        lambda: net(
            lambda m, ids: m.fc2(F.relu(m.fc1(F.one_hot(ids, VOCABULARY).to(m.fc1.weight.dtype)))),
            fc1=nn.Linear(VOCABULARY, 16),
            fc2=nn.Linear(16, 10),
        ),
        tokens(VOCABULARY),
        ("fc2",),
    ),
    Case(
        "lookup_by_argmax",
        lambda: net(
            lambda m, ids: m.fc2(F.relu(m.fc1(m.table(m.choose(m.embed(ids)).argmax(-1))))),
            embed=nn.Embedding(VOCABULARY, 16),
            choose=nn.Linear(16, 6),
            table=nn.Embedding(6, 16),
            fc1=nn.Linear(16, 24),
            fc2=nn.Linear(24, 10),
        ),
        tokens(VOCABULARY),
        ("choose", "fc1", "fc2"),
    ),
    Case(
        "tied_transposed_head",
        lambda: net(
            lambda m, ids: m.fc(m.embed(ids)).relu() @ m.embed.weight.t(),
            embed=nn.Embedding(VOCABULARY, 16),
            fc=nn.Linear(16, 16),
        ),
        tokens(VOCABULARY),
        ("fc",),
        "rows and columns of fc follow the embedding",
    ),
)
