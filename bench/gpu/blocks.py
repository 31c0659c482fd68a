"""A transformer block and an MLP, dense, masked and sparse."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from permsolve import networks
from permsolve.networks.sparse.hardware import Cuda, Hardware


@dataclass(frozen=True, slots=True)
class BlockRow:
    """One module at one batch.

    Attributes
    ----------
    name : str
        The module.
    tokens : int
        Rows of its input.
    dense_ms, masked_ms, sparse_ms : float
        Times of a call: unpruned, pruned but dense, and with what pays turned sparse.
    sparse_layers, layers : int
        How many linear layers were turned sparse, of how many.
    error : float
        Largest difference of the outputs, masked against sparse, relative to their largest entry.
    """

    name: str
    tokens: int
    dense_ms: float
    masked_ms: float
    sparse_ms: float
    sparse_layers: int
    layers: int
    error: float


class LlamaBlock(nn.Module):
    """Attention and SwiGLU with root-mean-square norms, as in LLaMA-2; no rotary embedding, which has no weights."""

    def __init__(self, width: int = 4096, inner: int = 11008, heads: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.RMSNorm(width), nn.RMSNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens to tokens, of one sequence."""
        h = self.before_attention(x)
        q, k, v = (layer(h).unflatten(-1, (self.heads, -1)).transpose(0, 1) for layer in (self.q, self.k, self.v))
        mixed = functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
        x = x + self.o(mixed.transpose(0, 1).flatten(1))
        h = self.before_mlp(x)
        answer: Tensor = x + self.down(functional.silu(self.gate(h)) * self.up(h))
        return answer


def vit_mlp(width: int = 1024, inner: int = 4096) -> nn.Sequential:
    """The MLP of ViT-L."""
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))


@torch.inference_mode()
def measure_block(
    name: str,
    make: Callable[[], nn.Module],
    width: int,
    tokens: int,
    *,
    device: str = "cuda",
    dtype: torch.dtype = torch.bfloat16,
    hardware: Hardware | None = None,
) -> BlockRow:
    """Time a module three ways, with a cold second-level cache."""
    machine = hardware or Cuda()
    torch.manual_seed(0)
    x = torch.randn(tokens, width, dtype=dtype, device=device)
    model = make().to(device=device, dtype=dtype).eval()

    def timed(one: nn.Module) -> float:
        return machine.milliseconds(lambda: one(x))

    dense = timed(model)
    masked = deepcopy(model)
    networks.prune_(masked, "2:4")
    networks.finalize_(masked)
    masked_ms = timed(masked)
    expected = masked(x)
    report = networks.sparsify_(masked, (x,), hardware=machine)
    sparse_ms = timed(masked)
    difference = (masked(x) - expected).abs().max() / expected.abs().max()
    return BlockRow(
        name, tokens, dense, masked_ms, sparse_ms, len(report.sparse), len(report.layers), float(difference)
    )
