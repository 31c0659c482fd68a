"""Attention: written by hand, with the fused operator, with nn.MultiheadAttention; of one layer, or a few."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks.zoo.case import Case, net, sequences, weight

WIDTH, HEADS, INNER = 16, 2, 8


def heads(x: Tensor, inner: int = INNER) -> Tensor:
    """(batch, length, heads * inner) to (batch, heads, length, inner)."""
    return x.view(x.shape[0], x.shape[1], -1, inner).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    """(batch, heads, length, inner) to (batch, length, heads * inner)."""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)


def by_hand(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention by two products and a softmax."""
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask, -1e9)
    out: Tensor = scores.softmax(-1) @ v
    return out


def rotary(x: Tensor) -> Tensor:
    """Rotary positions, in the form of two halves."""
    length, inner = x.shape[-2], x.shape[-1]
    speed = 10000.0 ** (-torch.arange(0, inner, 2, dtype=torch.float64) / inner)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * speed
    angle = torch.cat([angle, angle], -1)
    half = torch.cat([-x[..., inner // 2 :], x[..., : inner // 2]], -1)
    out: Tensor = x * angle.cos() + half * angle.sin()
    return out


def rotary_complex(x: Tensor) -> Tensor:
    """Rotary positions, in the form of complex numbers."""
    length, inner = x.shape[-2], x.shape[-1]
    speed = 10000.0 ** (-torch.arange(0, inner, 2, dtype=torch.float64) / inner)
    turn = torch.polar(torch.ones(length, inner // 2, dtype=torch.float64), torch.arange(length)[:, None] * speed)
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn).flatten(-2)


def _attention(run: Callable[[Any, Tensor], Tensor], keys: int = WIDTH, **parts: Any) -> Callable[[], nn.Module]:
    """stem 12 -> 16, q, k, v, `run` (q, k and v inside), o, residual, head; fused parts replace q, k, v."""

    def build() -> nn.Module:
        made = {name: part() for name, part in parts.items()}
        if "qkv" not in made:
            made |= {"q": nn.Linear(WIDTH, WIDTH), "k": nn.Linear(WIDTH, keys), "v": nn.Linear(WIDTH, keys)}
        return net(
            lambda m, x: (lambda s: m.head(s + m.o(run(m, s))))(m.stem(x)),
            stem=nn.Linear(12, WIDTH),
            o=nn.Linear(WIDTH, WIDTH),
            head=nn.Linear(WIDTH, 10),
            **made,
        )

    return build


def _plain(m: Any, s: Tensor) -> Tensor:
    return joined(by_hand(heads(m.q(s)), heads(m.k(s)), heads(m.v(s))))


def _sdpa(m: Any, s: Tensor, **options: Any) -> Tensor:
    return joined(F.scaled_dot_product_attention(heads(m.q(s)), heads(m.k(s)), heads(m.v(s)), **options))


def _einsum(m: Any, s: Tensor) -> Tensor:
    q, k, v = (part(s).unflatten(-1, (HEADS, INNER)) for part in (m.q, m.k, m.v))
    attention = torch.einsum("blhd,bmhd->bhlm", q, k).softmax(-1)
    return torch.einsum("bhlm,bmhd->blhd", attention, v).flatten(2)


def _single_head(m: Any, s: Tensor) -> Tensor:
    return torch.bmm((torch.bmm(m.q(s), m.k(s).transpose(1, 2)) / 4).softmax(-1), m.v(s))


def _grouped(m: Any, s: Tensor) -> Tensor:
    k, v = (heads(part(s)).repeat_interleave(HEADS, 1) for part in (m.k, m.v))
    return joined(F.scaled_dot_product_attention(heads(m.q(s)), k, v))


def _grouped_expanded(m: Any, s: Tensor) -> Tensor:
    k, v = (heads(part(s))[:, :, None].expand(-1, -1, HEADS, -1, -1).flatten(1, 2) for part in (m.k, m.v))
    return joined(by_hand(heads(m.q(s)), k, v))


def _grouped_flag(m: Any, s: Tensor) -> Tensor:
    return joined(
        F.scaled_dot_product_attention(heads(m.q(s)), heads(m.k(s)), heads(m.v(s)), is_causal=True, enable_gqa=True)
    )


def _rotary(m: Any, s: Tensor) -> Tensor:
    q, k = rotary(heads(m.q(s))), rotary(heads(m.k(s)))
    return joined(F.scaled_dot_product_attention(q, k, heads(m.v(s)), is_causal=True))


def _rotary_complex(m: Any, s: Tensor) -> Tensor:
    q, k = rotary_complex(heads(m.q(s))), rotary_complex(heads(m.k(s)))
    return joined(by_hand(q, k, heads(m.v(s))))


def _query_key_norm(m: Any, s: Tensor) -> Tensor:
    q, k = m.norm_q(heads(m.q(s))), m.norm_k(heads(m.k(s)))
    return joined(F.scaled_dot_product_attention(q, k, heads(m.v(s))))


def _fused(m: Any, s: Tensor) -> Tensor:
    q, k, v = m.qkv(s).chunk(3, dim=-1)
    return joined(by_hand(heads(q), heads(k), heads(v)))


def _fused_view(m: Any, s: Tensor) -> Tensor:
    q, k, v = m.qkv(s).view(*s.shape[:2], 3, HEADS, INNER).permute(2, 0, 3, 1, 4)
    return joined(F.scaled_dot_product_attention(q, k, v, is_causal=True))


def _fused_interleaved(m: Any, s: Tensor) -> Tensor:
    q, k, v = heads(m.qkv(s), 3 * INNER).chunk(3, -1)
    return joined(by_hand(q, k, v))


def _biased(m: Any, s: Tensor) -> Tensor:
    scores = heads(m.q(s)) @ heads(m.k(s)).transpose(2, 3) + m.bias
    return joined((scores.softmax(-1) * m.gain.view(-1, 1, 1)) @ heads(m.v(s)))


def _slopes(m: Any, s: Tensor) -> Tensor:
    place = torch.arange(s.shape[1])
    slope = torch.tensor([0.5, 0.25]).view(-1, 1, 1) * (place[None, :] - place[:, None]).abs()
    return joined((heads(m.q(s)) @ heads(m.k(s)).transpose(2, 3) - slope).softmax(-1) @ heads(m.v(s)))


def _talking(m: Any, s: Tensor) -> Tensor:
    scores = heads(m.q(s)) @ heads(m.k(s)).transpose(2, 3)
    mixed = m.talk(scores.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return joined(mixed.softmax(-1) @ heads(m.v(s)))


def _mixed_values(m: Any, s: Tensor) -> Tensor:
    out = by_hand(heads(m.q(s)), heads(m.k(s)), heads(m.v(s)))
    return m.talk(out.permute(0, 2, 3, 1)).transpose(2, 3).flatten(2)  # type: ignore[no-any-return]


def _linear_attention(m: Any, s: Tensor) -> Tensor:
    q, k, v = F.elu(heads(m.q(s))) + 1, F.elu(heads(m.k(s))) + 1, heads(m.v(s))
    return joined((q @ (k.transpose(2, 3) @ v)) / (q @ k.sum(2, keepdim=True).transpose(2, 3)))


def _gated(m: Any, s: Tensor) -> Tensor:
    return _sdpa(m, s) * m.gate(s).sigmoid()  # type: ignore[no-any-return]


def _value_norm(m: Any, s: Tensor) -> Tensor:
    return joined(m.norm(by_hand(heads(m.q(s)), heads(m.k(s)), heads(m.v(s)))))


def _sub_norm(m: Any, s: Tensor) -> Tensor:
    return m.norm(_plain(m, s))  # type: ignore[no-any-return]


def _differential(m: Any, s: Tensor) -> Tensor:
    q1, q2 = heads(m.q(s), 4).chunk(2, 1)
    k1, k2 = heads(m.k(s), 4).chunk(2, 1)
    attention = (q1 @ k1.transpose(2, 3)).softmax(-1) - m.amount * (q2 @ k2.transpose(2, 3)).softmax(-1)
    return joined(attention @ heads(m.v(s)))


def _window(m: Any, s: Tensor) -> Tensor:
    place = torch.arange(s.shape[1])
    far = (place[None, :] - place[:, None]).abs() > 1
    return joined(by_hand(heads(m.q(s)), heads(m.k(s)), heads(m.v(s)), far))


def _axis_swapped(m: Any, s: Tensor) -> Tensor:
    """Attention over channels instead of places (the heads' inner axis is compared)."""
    q, k, v = (part(s).transpose(1, 2) for part in (m.q, m.k, m.v))
    return by_hand(q, k, v).transpose(1, 2)


def _cross(m: Any, x: Tensor, y: Tensor) -> Tensor:
    s, memory = m.stem(x), m.stem_y(y)
    out = joined(by_hand(heads(m.q(s)), heads(m.k(memory)), heads(m.v(memory))))
    return m.head(s + m.o(out))  # type: ignore[no-any-return]


def _multihead(m: Any, x: Tensor, **options: Any) -> Any:
    s = m.stem(x)
    out, weights = m.attention(s, s, s, **options)
    return (m.head(s + out), weights) if weights is not None else m.head(s + out)


def _latents(m: Any, x: Tensor) -> Tensor:
    s = m.stem(x)
    latent = m.latent.expand(x.shape[0], -1, -1)
    out = latent + m.o(joined(by_hand(heads(m.q(latent)), heads(m.k(s)), heads(m.v(s)))))
    return m.head(out.mean(1))  # type: ignore[no-any-return]


def _attention_pool(m: Any, x: Tensor) -> Tensor:
    s = torch.tanh(m.stem(x))
    return m.head((m.score(s).softmax(1) * s).sum(1))  # type: ignore[no-any-return]


_ALL = ("q", "k", "v", "o", "head")
_FUSED = ("qkv", "o", "head")
_QKV: dict[str, Any] = {"qkv": lambda: nn.Linear(WIDTH, 3 * WIDTH)}
_INNER = "values and outputs: each head its own permutation"


def _mha(**options: Any) -> Callable[[], nn.Module]:
    return lambda: net(
        lambda m, x: _multihead(m, x, need_weights=options.get("need_weights", False)),
        stem=nn.Linear(12, WIDTH),
        head=nn.Linear(WIDTH, 10),
        attention=nn.MultiheadAttention(
            WIDTH, HEADS, batch_first=True, **{k: v for k, v in options.items() if k != "need_weights"}
        ),
    )


CASES = (
    Case("attention_by_hand", _attention(_plain), sequences(12), _ALL, _INNER),
    Case(
        "attention_on_input",
        lambda: net(
            lambda m, x: m.o(_plain(m, x)),
            q=nn.Linear(16, 16),
            k=nn.Linear(16, 16),
            v=nn.Linear(16, 16),
            o=nn.Linear(16, 10),
        ),
        sequences(16),
        ("o",),
    ),
    Case("attention_sdpa", _attention(_sdpa), sequences(12), _ALL),
    Case("attention_sdpa_causal", _attention(lambda m, s: _sdpa(m, s, is_causal=True, scale=0.3)), sequences(12), _ALL),
    Case(
        "attention_sdpa_mask",
        _attention(lambda m, s: _sdpa(m, s, attn_mask=torch.ones(5, 5).tril() > 0)),
        sequences(12),
        _ALL,
    ),
    Case("attention_einsum", _attention(_einsum), sequences(12), _ALL),
    Case("attention_single_head", _attention(_single_head), sequences(12), _ALL),
    Case(
        "attention_grouped",
        _attention(_grouped, INNER),
        sequences(12),
        _ALL,
        "both query heads take the permutation of their key head",
    ),
    Case("attention_grouped_expanded", _attention(_grouped_expanded, INNER), sequences(12), _ALL),
    Case("attention_grouped_flag", _attention(_grouped_flag, INNER), sequences(12), _ALL),
    Case("attention_rotary", _attention(_rotary), sequences(12), _ALL, "rows of q and k stay, columns move"),
    Case("attention_rotary_complex", _attention(_rotary_complex), sequences(12), _ALL),
    Case(
        "attention_query_key_norm",
        _attention(_query_key_norm, norm_q=lambda: nn.RMSNorm(INNER), norm_k=lambda: nn.LayerNorm(INNER)),
        sequences(12),
        _ALL,
    ),
    Case("attention_fused", _attention(_fused, **_QKV), sequences(12), _FUSED),
    Case("attention_fused_view", _attention(_fused_view, **_QKV), sequences(12), _FUSED),
    Case("attention_fused_interleaved", _attention(_fused_interleaved, **_QKV), sequences(12), _FUSED),
    Case(
        "attention_biased",
        _attention(_biased, bias=lambda: weight(HEADS, 5, 5), gain=lambda: weight(HEADS)),
        sequences(12),
        _ALL,
    ),
    Case("attention_slopes", _attention(_slopes), sequences(12), _ALL),
    Case(
        "attention_talking_heads",
        _attention(_talking, talk=lambda: nn.Linear(HEADS, HEADS, bias=False)),
        sequences(12),
        _ALL,
        "`talk` is indexed by head: it stays",
    ),
    Case(
        "attention_mixed_values",
        _attention(_mixed_values, talk=lambda: nn.Linear(HEADS, HEADS)),
        sequences(12),
        _ALL,
        "heads are mixed place by place: one permutation for both",
    ),
    Case("attention_linear", _attention(_linear_attention), sequences(12), _ALL),
    Case("attention_gated", _attention(_gated, gate=lambda: nn.Linear(WIDTH, WIDTH)), sequences(12), (*_ALL, "gate")),
    Case(
        "attention_value_norm",
        _attention(_value_norm, norm=lambda: nn.RMSNorm(INNER)),
        sequences(12),
        _ALL,
        "one weight of the norm for both heads: one permutation for both",
    ),
    Case("attention_sub_norm", _attention(_sub_norm, norm=lambda: nn.LayerNorm(WIDTH)), sequences(12), _ALL),
    Case("attention_differential", _attention(_differential, amount=lambda: weight(1)), sequences(12), _ALL),
    Case("attention_window", _attention(_window), sequences(12), _ALL),
    Case(
        "attention_over_channels",
        _attention(_axis_swapped),
        sequences(12),
        _ALL,
        "v, o: keys and values share an order; q and the outputs share another",
    ),
    Case(
        "attention_cross",
        lambda: net(
            _cross,
            stem=nn.Linear(12, 16),
            stem_y=nn.Linear(12, 24),
            q=nn.Linear(16, 16),
            k=nn.Linear(24, 16),
            v=nn.Linear(24, 16),
            o=nn.Linear(16, 16),
            head=nn.Linear(16, 10),
        ),
        sequences(12, count=2),
        _ALL,
    ),
    Case(
        "attention_latents",
        lambda: net(
            _latents,
            stem=nn.Linear(12, 16),
            latent=weight(3, 24),
            q=nn.Linear(24, 16),
            k=nn.Linear(16, 16),
            v=nn.Linear(16, 16),
            o=nn.Linear(16, 24),
            head=nn.Linear(24, 10),
        ),
        sequences(12),
        _ALL,
        "the latents are a parameter and follow",
    ),
    Case(
        "attention_pool",
        lambda: net(_attention_pool, stem=nn.Linear(12, 16), score=nn.Linear(16, 1), head=nn.Linear(16, 10)),
        sequences(12),
        ("score", "head"),
    ),
    Case("multihead", _mha(), sequences(12), ("attention.out_proj", "head")),
    Case("multihead_no_bias", _mha(bias=False), sequences(12), ("attention.out_proj", "head")),
    Case(
        "multihead_weights",
        _mha(need_weights=True),
        sequences(12),
        ("attention.out_proj", "head"),
        "attention weights are an output; they have no channels",
    ),
    Case(
        "multihead_bias_kv", _mha(add_bias_kv=True, add_zero_attn=True), sequences(12), ("attention.out_proj", "head")
    ),
    Case(
        "multihead_on_input",
        lambda: net(
            lambda m, x: m.attention(x, x, x, need_weights=False)[0],
            attention=nn.MultiheadAttention(WIDTH, HEADS, batch_first=True),
        ),
        sequences(16),
        ("attention.out_proj",),
    ),
    Case(
        "multihead_stacked",
        lambda: net(
            lambda m, x: (lambda s: m.b(s, s, s, need_weights=False)[0])(m.a(x, x, x, need_weights=False)[0]),
            a=nn.MultiheadAttention(WIDTH, HEADS, batch_first=True),
            b=nn.MultiheadAttention(WIDTH, HEADS, batch_first=True),
        ),
        sequences(16),
        ("a.out_proj", "b.out_proj"),
    ),
    Case(
        "multihead_cross",
        lambda: net(
            lambda m, x, y: m.head(m.attention(m.stem(x), m.memory(y), m.memory(y), need_weights=False)[0]),
            stem=nn.Linear(12, 16),
            memory=nn.Linear(12, 24),
            head=nn.Linear(16, 10),
            attention=nn.MultiheadAttention(16, HEADS, kdim=24, vdim=24, batch_first=True),
        ),
        sequences(12, count=2),
        ("attention.out_proj", "head"),
    ),
)
