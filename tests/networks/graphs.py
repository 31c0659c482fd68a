"""Networks of random operators."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (8, 12, 16)
Step = tuple[str, int, int, int]
STEPS = (
    "linear", "relu", "softmax", "norm", "rms", "add", "mul", "cat", "split", "halves", "swap", "flip", "roll",
    "heads", "attention", "scale", "first", "mean", "gate", "interleave", "pool", "stack", "cumsum", "repeat", "outer",
    "slice", "sort", "where", "shuffle", "constant", "conv", "grouped", "depthwise", "batch", "group", "multihead",
    "chunks", "reshape", "lookup", "residual", "swiglu", "norms", "cell",
)  # fmt: skip


class Graph(nn.Module):
    """Runs a list of steps on a growing list of tensors of shape (batch, places, width)."""

    def __init__(self, steps: list[Step], width: int = 12) -> None:
        super().__init__()
        self.steps = steps
        self.width = width
        self.parts = nn.ModuleDict()
        self.scales = nn.ParameterDict()
        self.out = nn.Linear(1, 3)
        with torch.no_grad():
            final = self._run(torch.randn(2, 5, width, dtype=torch.float64), build=True)
        self.out = nn.Linear(final.shape[-1], 3)
        self.double()

    def _module(self, key: str, build: bool, make: Callable[[], nn.Module]) -> Any:
        if build and key not in self.parts:
            self.parts[key] = make().double()
        return self.parts[key]

    def _linear(self, key: str, before: int, after: int, build: bool) -> Any:
        return self._module(key, build, lambda: nn.Linear(before, after))

    def _vector(self, key: str, build: bool, *shape: int) -> Any:
        if build:
            self.scales[key] = nn.Parameter(torch.rand(*shape, dtype=torch.float64) + 0.5)
        return self.scales[key]

    def _run(self, x: Tensor, build: bool = False) -> Tensor:
        pool = [torch.tanh(self._linear("stem", self.width, 16, build)(x))]
        for number, (kind, a, b, size) in enumerate(self.steps):
            one, other = pool[a % len(pool)], pool[b % len(pool)]
            made = self._step(kind, f"{number}", one, other, WIDTHS[size % len(WIDTHS)], build)
            pool.append(made if made.shape[-1] >= 4 else torch.cat([made] * 4, -1))
        return torch.cat(pool[-2:], -1)

    def _step(self, kind: str, key: str, x: Tensor, y: Tensor, width: int, build: bool) -> Tensor:
        n = x.shape[-1]
        even = n - n % 4
        matching = y if y.shape[-1] == n else self._linear(f"fit{key}", y.shape[-1], n, build)(y)
        match kind:
            case "linear":
                # Layers are shared by number of inputs and outputs: some are called several times.
                return torch.tanh(self._linear(f"shared{n}to{width}", n, width, build)(x))
            case "norm":
                return F.layer_norm(x, (n,), self._vector(key, build, n))
            case "scale":
                scaled: Tensor = x * self._vector(key, build, n)
                return scaled
            case "heads":
                v = x[..., :even].unflatten(-1, (4, even // 4))
                blocks: Tensor = v * self._vector(key, build, *((even // 4,) if width == 8 else (4, 1)))
                return blocks.flatten(-2)
            case "attention":
                qkv = [
                    self._linear(f"{key}{part}", n, 16, build)(x).unflatten(-1, (2, 8)).transpose(1, 2)
                    for part in "qkv"
                ]
                return F.scaled_dot_product_attention(*qkv).transpose(1, 2).flatten(-2)
            case "conv" | "grouped" | "depthwise":
                groups = {"conv": 1, "grouped": 2 + 2 * (width == 8), "depthwise": even}[kind]
                after = even if kind == "depthwise" else width
                # As for linear layers, those of the same shape are one module.
                conv = self._module(
                    f"{kind}{even}to{after}by{groups}", build,
                    lambda: nn.Conv1d(even, after, 3, padding=1, groups=groups),
                )  # fmt: skip
                return torch.tanh(conv(x[..., :even].transpose(1, 2)).transpose(1, 2))
            case "batch":
                batch = self._module(key, build, lambda: nn.BatchNorm1d(n))
                normal: Tensor = batch(x.transpose(1, 2)).transpose(1, 2)
                return normal
            case "group":
                group = self._module(key, build, lambda: nn.GroupNorm(2 if width == 8 else 4, even))
                grouped: Tensor = group(x[..., :even].transpose(1, 2)).transpose(1, 2)
                return grouped
            case "multihead":
                attention = self._module(
                    f"mha{even}", build, lambda: nn.MultiheadAttention(even, 2, batch_first=True, dropout=0.0)
                )
                attended: Tensor = attention(x[..., :even], x[..., :even], x[..., :even], need_weights=False)[0]
                return attended
            case "lookup":
                table = self._module(f"table{n}", build, lambda: nn.Embedding(7, n))
                looked: Tensor = x + table(x[..., 0].abs().mul(3).long() % 7 if width == 8 else x.argmax(-1) % 7)
                return looked
            case "residual":
                inner = F.gelu(self._linear(f"up{key}", n, width, build)(x))
                added: Tensor = x + self._linear(f"down{key}", width, n, build)(inner)
                return added
            case "swiglu":
                gate, up = self._linear(f"both{key}", n, 2 * width, build)(x).chunk(2, -1)
                return self._linear(f"back{key}", width, width, build)(F.silu(gate) * up)  # type: ignore[no-any-return]
            case "cell":
                cell = self._module(f"cell{n}to{width}", build, lambda: nn.GRUCell(n, width))
                state = cell(x[:, 0])
                return torch.stack([state := cell(x[:, t], state) for t in range(x.shape[1])], 1)
            case "constant":
                return x + torch.arange(n, dtype=x.dtype)[None, None] * (width == 8)
        return SIMPLE[kind](x, matching, even, width)

    def forward(self, x: Tensor) -> dict[str, Any]:
        """The last two tensors, put through one more layer, and a number."""
        final = self._run(x)
        return {"out": self.out(final), "others": [final.mean(-1)]}


SIMPLE: dict[str, Callable[[Tensor, Tensor, int, int], Tensor]] = {
    "relu": lambda x, y, e, w: F.relu(x),
    "softmax": lambda x, y, e, w: x.softmax(-1 if w == 8 else 1),
    "rms": lambda x, y, e, w: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3),
    "add": lambda x, y, e, w: x + y,
    "mul": lambda x, y, e, w: x * y,
    "cat": lambda x, y, e, w: torch.cat([x[..., : e // 2], y], -1),
    "split": lambda x, y, e, w: x.split([e // 4, x.shape[-1] - e // 4], -1)[w % 2],
    "halves": lambda x, y, e, w: torch.cat([x[..., : e // 2].relu(), x[..., e // 2 :]], -1),
    "swap": lambda x, y, e, w: torch.cat([x[..., e // 2 :], x[..., : e // 2]], -1),
    "flip": lambda x, y, e, w: x.flip(-1),
    "roll": lambda x, y, e, w: x.roll(w % 5, -1),
    "first": lambda x, y, e, w: x * x[..., :1],
    "mean": lambda x, y, e, w: x + y.mean(-1 if w == 8 else 1, keepdim=True),
    "gate": lambda x, y, e, w: F.glu(x[..., :e], -1),
    "interleave": lambda x, y, e, w: torch.stack([x, y], -1).flatten(-2)[..., : max(8, e)],
    "pool": lambda x, y, e, w: x[..., :e].unflatten(-1, (2, e // 2)).amax(-2 if w == 8 else -1),
    "stack": lambda x, y, e, w: torch.stack([x, y], 1).sum(1),
    "cumsum": lambda x, y, e, w: x.cumsum(-1 if w == 12 else 1),
    "repeat": lambda x, y, e, w: x.repeat_interleave(2, -1)[..., :16],
    "outer": lambda x, y, e, w: torch.einsum("bti,btj->btij", x[..., :4], y[..., :4]).flatten(-2),
    "slice": lambda x, y, e, w: x[..., (w % 3) :: (1 if w == 8 else 2)].repeat(1, 1, 2),
    "sort": lambda x, y, e, w: x + y.sort(-1 if w == 12 else 1).values,
    "chunks": lambda x, y, e, w: torch.cat(x[..., :e].chunk(4, -1)[:: -1 if w == 8 else 1], -1),
    "reshape": lambda x, y, e, w: x[..., :e].reshape(2, -1, e // 4).sin().reshape(2, -1, e),
    "norms": lambda x, y, e, w: x / (x.norm(dim=-1 if w == 8 else 1, keepdim=True) + 0.1),
    "where": lambda x, y, e, w: torch.where(y > 0, x, -x),
    "shuffle": lambda x, y, e, w: x[..., :e].unflatten(-1, (2, e // 2)).transpose(-1, -2).flatten(-2),
}  # fmt: skip
