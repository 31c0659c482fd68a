"""One hidden layer whose channels are re-indexed, reduced or mixed between the two linear layers."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks.zoo.case import Case, net, vectors, weight


def _between(
    name: str,
    run: Callable[..., Tensor],
    permuted: bool | float = True,
    note: str = "",
    wide: int = 16,
    parts: Callable[[], Mapping[str, object]] = dict,
) -> Case:
    """fc1 12 -> 16, then `run`, then fc2 wide -> 10; `permuted` says which part of fc2's columns can be permuted."""

    def build() -> nn.Module:
        return net(
            lambda m, x: m.fc2(run(m, F.silu(m.fc1(x)))), fc1=nn.Linear(12, 16), fc2=nn.Linear(wide, 10), **parts()
        )

    return Case(name, build, vectors(12), {"fc2": float(permuted)} if permuted else (), note)


def _in_place_half(m: Any, h: Tensor) -> Tensor:
    h = h.clone()
    h[:, :8].mul_(2.0)
    return h


def _in_place_column(m: Any, h: Tensor) -> Tensor:
    h = h.clone()
    h[:, 3] = 1.0
    return h


def _channel_after_matmul(m: Any, h: Tensor) -> Tensor:
    return (h.unsqueeze(1) @ m.matrix).squeeze(1)  # type: ignore[no-any-return]


def _scatter(m: Any, h: Tensor) -> Tensor:
    return torch.zeros_like(h).scatter_add(1, (torch.arange(16) // 2).expand_as(h), h)


CASES = (
    _between("in_place_relu", lambda m, h: h.mul_(2).relu_()),
    _between("in_place_add", lambda m, h: h.add_(h * 0.5)),
    _between("in_place_half", _in_place_half, True, "channels move within the first and within the second half"),
    _between("in_place_column", _in_place_column, 15 / 16, "channel 3 is overwritten: it stays, the others move"),
    # Re-indexing: fixed maps of positions.
    _between("flip", lambda m, h: h.flip(1), True, "the flip maps positions: fc1 takes the mirrored permutation"),
    _between("roll", lambda m, h: h.roll(3, -1), True, "a fixed map of positions"),
    _between("swap_halves", lambda m, h: torch.cat([h[:, 8:], h[:, :8]], 1), True, "a fixed map of positions"),
    _between("cat_itself", lambda m, h: torch.cat([h, h], -1), True, "both copies follow", 32),
    _between("cat_sin_cos", lambda m, h: torch.cat([h.sin(), h.cos()], -1), True, "", 32),
    _between("cat_flipped", lambda m, h: torch.cat([h, h.flip(-1)], -1), True, "", 32),
    _between("cat_keyword_split", lambda m, h: torch.cat(tensors=h.split([5, 11], dim=1)[::-1], dim=1)),
    _between("cat_constant", lambda m, h: torch.cat([h, torch.ones(h.shape[0], 4)], 1), 16 / 20, "", 20),
    _between("repeat", lambda m, h: h.repeat(1, 2), True, "", 32),
    _between("repeat_interleave", lambda m, h: h.repeat_interleave(2, -1), False, "pairs of columns move as one", 32),
    _between("stack_interleaved", lambda m, h: torch.stack([h[:, :8], h[:, 8:]], -1).flatten(1)),
    _between("strided_slices", lambda m, h: h[:, ::2] * h[:, 1::2], True, "", 8),
    _between("slice_of_it", lambda m, h: h[:, 2:14], True, "four channels are dropped and stay behind", 12),
    _between("one_channel_gates", lambda m, h: h[:, :1].sigmoid() * h[:, 1:], True, "channel 0 stays", 15),
    _between("select_channel", lambda m, h: h.select(1, 0).unsqueeze(1) + h, 15 / 16, "channel 0 has a role"),
    _between("unbind_channels", lambda m, h: torch.stack(h.unbind(1)[::-1], 1), False, "16 loose channels"),
    _between("narrow_and_add", lambda m, h: h.narrow(1, 0, 8) + h.narrow(1, 8, 8), True, "", 8),
    _between("tensor_split", lambda m, h: torch.cat([p.relu() for p in h.tensor_split(2, 1)], 1)),
    _between("view_and_back", lambda m, h: h.view(-1, 2, 8).transpose(1, 2).reshape(-1, 16), True, "a shuffle"),
    _between(
        "view_heads_scaled",
        lambda m, h: (h.view(-1, 2, 8) * m.scale).flatten(1),
        True,
        "within each block of 8; the scale of a block follows nobody",
        16,
        lambda: {"scale": weight(2, 1)},
    ),
    _between(
        "view_inner_scaled",
        lambda m, h: (h.view(-1, 2, 8) * m.scale).flatten(1),
        True,
        "both blocks of 8 take the permutation of the scale",
        16,
        lambda: {"scale": weight(8)},
    ),
    _between("unflatten_sum", lambda m, h: h.unflatten(1, (2, 8)).sum(1), True, "both halves alike", 8),
    _between("transposed_twice", lambda m, h: h.t().contiguous().t()),
    _between("index_constant_list", lambda m, h: h[:, list(range(15, -1, -1))], False, "the index is data"),
    _between(
        "index_buffer",
        lambda m, h: h.index_select(1, m.order),
        False,
        "the index is data",
        16,
        lambda: {"order": torch.randperm(16)},
    ),
    _between("gather_sorted_index", lambda m, h: h.gather(1, h.argsort(1)), False, "sorted: order means something"),
    _between("scatter_add", _scatter, False),
    _between("pad_channels", lambda m, h: F.pad(h, (2, 3)), 19 / 21, "the padding moves at the longer end only", 21),
    _between("as_strided", lambda m, h: h.as_strided((h.shape[0], 16), (16, 1)), False, "memory order"),
    # Reductions over the channels: order does not matter to these.
    _between("mean_gate", lambda m, h: h * h.mean(-1, keepdim=True)),
    _between("amax_shift", lambda m, h: h - h.amax(-1, keepdim=True)),
    _between("l2_normalized", lambda m, h: F.normalize(h, dim=-1)),
    _between("standardized", lambda m, h: (h - h.mean(1, keepdim=True)) / h.std(1, keepdim=True)),
    _between("norm_ratio", lambda m, h: h / torch.linalg.vector_norm(h, dim=1, keepdim=True)),
    _between("logsumexp", lambda m, h: h - h.logsumexp(-1, keepdim=True)),
    _between(
        "cosine_gate",
        lambda m, h: h * F.cosine_similarity(h, m.other.expand_as(h), dim=-1).unsqueeze(-1),
        True,
        "`other` follows",
        16,
        lambda: {"other": weight(16)},
    ),
    _between(
        "cdist_gate",
        lambda m, h: h * torch.cdist(h, m.centres).sum(1, keepdim=True),
        True,
        "the columns of the centres follow",
        16,
        lambda: {"centres": weight(5, 16)},
    ),
    _between(
        "inner_product",
        lambda m, h: h * (h * m.other).sum(-1, keepdim=True),
        True,
        "",
        16,
        lambda: {"other": weight(16)},
    ),
    # Order matters to these.
    _between("cumsum", lambda m, h: h.cumsum(-1), False),
    _between("cumprod", lambda m, h: h.tanh().cumprod(1), False),
    _between("diff", lambda m, h: h.diff(dim=-1), False, "", 15),
    _between("sort", lambda m, h: h.sort(-1).values, False, "the columns of fc2 are ranks"),
    _between("topk", lambda m, h: h.topk(8, -1).values, False, "", 8),
    _between("argmax", lambda m, h: h * h.argmax(-1, keepdim=True), False, "a position is used as a number"),
    _between("max_with_index", lambda m, h: h + h.max(-1, keepdim=True).indices, False),
    _between("triangular", lambda m, h: (h.unsqueeze(1) * torch.ones(16, 16).tril()).sum(-1), False),
    _between("window_mean", lambda m, h: F.avg_pool1d(h.unsqueeze(1), 3, 1, 1).squeeze(1), False),
    _between("interpolated", lambda m, h: F.interpolate(h.unsqueeze(1), size=32).squeeze(1), False, "", 32),
    _between(
        "convolved_channels",
        lambda m, h: m.conv(h.unsqueeze(1)).squeeze(1),
        False,
        "",
        16,
        lambda: {"conv": nn.Conv1d(1, 1, 3, padding=1)},
    ),
    _between("fft_channels", lambda m, h: torch.fft.rfft(h).abs(), False, "", 9),
    _between("noise", lambda m, h: h + torch.rand_like(h), False, "the same seed must give the same outputs"),
    _between("unfold_channels", lambda m, h: h.unfold(1, 4, 4).mean(1), False, "windows", 4),
    _between(
        "complex_pairs",
        lambda m, h: torch.view_as_real(torch.view_as_complex(h.view(-1, 8, 2)) ** 2).flatten(1),
        False,
        "pairs move as one",
    ),
    # Contractions with parameters and with itself.
    _between(
        "einsum",
        lambda m, h: torch.einsum("bi,ij->bj", h, m.matrix),
        True,
        "the columns of `matrix` are free",
        24,
        lambda: {"matrix": weight(16, 24)},
    ),
    _between("matmul_parameter", _channel_after_matmul, True, "", 24, lambda: {"matrix": weight(16, 24)}),
    _between(
        "addmm",
        lambda m, h: torch.addmm(m.bias, h, m.matrix, alpha=0.5),
        True,
        "",
        24,
        lambda: {"matrix": weight(16, 24), "bias": weight(24)},
    ),
    _between(
        "outer_product",
        lambda m, h: (h[:, :8].unsqueeze(2) * h[:, 8:].unsqueeze(1)).flatten(1),
        True,
        "columns (a, b): b moves inside each block of 8",
        64,
    ),
    _between(
        "where",
        lambda m, h: torch.where(h > m.limit, h, m.other),
        True,
        "",
        16,
        lambda: {"limit": weight(16), "other": weight(16)},
    ),
    _between(
        "pointwise_mix",
        lambda m, h: torch.lerp(h, h.square(), 0.3).clamp(max=m.top).masked_fill(h < -1, 0.5),
        True,
        "",
        16,
        lambda: {"top": weight(16)},
    ),
    _between(
        "addcmul", lambda m, h: torch.addcmul(h, h, m.scale, value=0.5), True, "", 16, lambda: {"scale": weight(16)}
    ),
    _between("gram_gate", lambda m, h: (h @ h.t()).softmax(-1) @ h, True, "rows compared over all channels"),
)
