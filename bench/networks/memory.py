"""Peak memory of ``permute_`` on a transformer: ``python -m bench.networks.memory --width 1024 --layers 6``."""

import resource
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from permsolve import networks

MEGABYTE = 2**20


class Transformer(nn.Module):
    """Embedding, pre-norm layers and a head, so that the residual stream is one axis of the whole network."""

    def __init__(self, width: int, layers: int, vocabulary: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, width // 64, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids to logits."""
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(x)
        return logits


def resident() -> float:
    """Megabytes that this process has in memory now."""
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize() / MEGABYTE


def main(
    width: int = 1024,
    layers: int = 6,
    verify: bool = True,
    solver: str = "auto",
    time_limit: Annotated[float, typer.Option(help="Seconds of search for the whole network.")] = 20.0,
    workers: int = 2,
) -> None:
    """Print the size of the model, of its largest problem, and the memory that permuting it took at most (Linux)."""
    tokens = (torch.randint(0, 256, (1, 8)),)
    # What torch, the tracer and the compiled kernels need is there before anything is measured.
    networks.permute_(Transformer(64, 1).eval(), tokens, solver=solver, time_limit=1.0, workers=workers)
    model = Transformer(width, layers).eval()
    size = sum(one.numel() * one.element_size() for one in model.parameters()) / MEGABYTE
    before = resident()
    report = networks.permute_(model, tokens, solver=solver, time_limit=time_limit, workers=workers, verify=verify)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE
    weights = dict(model.named_parameters())
    readers = [[weights[name] for name, axis in group.parameters if axis == 1] for group in report.groups]
    largest = max(sum(4 * weight.numel() for weight in group) for group in readers) / MEGABYTE
    print(
        f"{len(report.groups)} axes, coverage {report.coverage:.3f}; model {size:.0f} MB, largest problem "
        f"{largest:.0f} MB (float32), before {before:.0f} MB, peak {peak:.0f} MB: {peak - before:.0f} MB more, "
        f"{(peak - before) / size:.1f} times the model ({'with' if verify else 'without'} verification)"
    )


if __name__ == "__main__":
    typer.run(main)
