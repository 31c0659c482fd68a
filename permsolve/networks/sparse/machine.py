"""What this machine makes of 2:4: able or not, with which backends, and how much faster."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from permsolve.networks.sparse.hardware import Cuda, Hardware
from permsolve.networks.sparse.layouts import layouts
from permsolve.networks.sparse.trial import Refusal, Timings, dense_milliseconds, try_layer
from permsolve.networks.table import aligned

# (out, in) of linear layers: attention and MLP of LLaMA-2-7B, MLP of ViT-L.
SHAPES = ((4096, 4096), (11008, 4096), (4096, 11008), (4096, 1024), (1024, 4096))
# Rows of input: tokens of a batch. One row is what decoding of a single sequence does.
TOKENS = (1, 2048, 8192)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A linear layer of one shape, dense and 2:4.

    Attributes
    ----------
    shape : tuple of int
        Of the weight, (out, in).
    tokens : int
        Rows of input.
    dtype : str
        Type of both.
    backend : str
        Backend of the sparse product.
    algorithm : int or None
        Number of cuSPARSELt's fastest algorithm; None with another backend, or where it refused.
    dense_ms, sparse_ms : float or None
        Milliseconds per call; None where the backend refused.
    refusal : str
        What it said then.
    """

    shape: tuple[int, int]
    tokens: int
    dtype: str
    backend: str
    dense_ms: float | None
    sparse_ms: float | None
    algorithm: int | None = None
    refusal: str = ""

    @property
    def speedup(self) -> float | None:
        """Dense by sparse time."""
        return None if self.dense_ms is None or self.sparse_ms is None else self.dense_ms / self.sparse_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReport:
    """What :func:`gpu_report` found.

    Attributes
    ----------
    able : bool
        Whether a layer can run 2:4 here.
    reason : str
        Why not; empty when able.
    device : str
        Name of the GPU; empty without one.
    capability : tuple of int or None
        Its compute capability.
    versions : dict of str to str
        Of torch, CUDA and cuSPARSELt ("none" where torch has none).
    backends : tuple of str
        Backends that are there.
    measurements : tuple of Measurement
        Times; empty when not able, or not asked for.
    """

    able: bool
    reason: str
    device: str
    capability: tuple[int, int] | None
    versions: dict[str, str]
    backends: tuple[str, ...]
    measurements: tuple[Measurement, ...] = ()

    def lines(self) -> list[str]:
        """All of it as lines of text."""
        capability = f" (compute capability {self.capability[0]}.{self.capability[1]})" if self.capability else ""
        found = [
            "2:4 on the GPU: " + ("yes" if self.able else f"no: {self.reason}"),
            f"device: {self.device or 'none'}{capability}",
            "versions: " + ", ".join(f"{name} {text}" for name, text in self.versions.items()),
            f"backends: {', '.join(self.backends) or 'none'}",
        ]
        if self.measurements:
            rows = [["weight", "tokens", "dtype", "backend", "dense ms", "sparse ms", "speed-up", ""]]
            for one in self.measurements:
                shape = f"{one.shape[0]} x {one.shape[1]}"
                times = ["" if time is None else f"{time:.3f}" for time in (one.dense_ms, one.sparse_ms, one.speedup)]
                backend = one.backend + ("" if one.algorithm is None else f" #{one.algorithm}")
                rows.append([shape, str(one.tokens), one.dtype, backend, *times, one.refusal])
            found += ["", *aligned(rows)]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        document = asdict(self)
        document["measurements"] = [{**asdict(one), "speedup": one.speedup} for one in self.measurements]
        return document


def gpu_report(
    *,
    measure: bool = True,
    dtype: torch.dtype = torch.bfloat16,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    tokens: Sequence[int] = TOKENS,
    hardware: Hardware | None = None,
    device: torch.device | None = None,
) -> GpuReport:
    """Find out whether 2:4 runs on this machine, and how fast.

    Parameters
    ----------
    measure : bool, default True
        Time linear layers, dense and sparse.
    dtype : torch.dtype, default bfloat16
        Their type.
    shapes : sequence of (int, int)
        Shapes (out, in) of their weights.
    tokens : sequence of int
        Rows of their input.
    hardware : Hardware, optional
        What packs and times; the GPU that torch sees when not given.
    device : torch.device, optional
        The device asked about; the first GPU when not given.
    """
    chosen = hardware or Cuda()
    place = device or torch.device("cuda")
    reason = chosen.obstacle(place)
    on_gpu = torch.cuda.is_available() and place.type == "cuda"
    measurements: list[Measurement] = []
    if reason is None and measure:
        timings = Timings(chosen)
        for shape in shapes:
            for count in tokens:
                measurements += _measured(shape, count, dtype, timings, place)
    return GpuReport(
        able=reason is None,
        reason=reason or "",
        device=torch.cuda.get_device_name(place) if on_gpu else "",
        capability=torch.cuda.get_device_capability(place) if on_gpu else None,
        versions=versions(),
        backends=() if reason is not None else chosen.backends(),
        measurements=tuple(measurements),
    )


def versions() -> dict[str, str]:
    """Versions of torch and of what it runs 2:4 with."""
    library = getattr(torch.backends, "cusparselt", None)
    number = library.version() if library is not None and library.is_available() else None
    return {
        "torch": str(torch.__version__),
        "CUDA": str(torch.version.cuda or "none"),
        "cuSPARSELt": "none" if number is None else str(number),
    }


def pruned_linear(shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> nn.Linear:
    """A linear layer with a random 2:4 weight: of every four entries the first and the last."""
    layer = nn.Linear(shape[1], shape[0], bias=False, device=device, dtype=dtype)
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([1, 0, 0, 1], device=device).repeat(shape[1] // 4))
    return layer


def _measured(
    shape: tuple[int, int], tokens: int, dtype: torch.dtype, timings: Timings, device: torch.device
) -> list[Measurement]:
    """One shape by every backend."""
    layer = pruned_linear(shape, dtype, device)
    kind = str(dtype).removeprefix("torch.")
    entry = (tokens, shape[1])
    dense_ms = dense_milliseconds(layer, entry, timings)
    found = []
    for layout in layouts(dtype):
        if layout.backend not in timings.hardware.backends():
            continue
        outcome = try_layer(layer, layout.backend, layout.padded(shape), entry, timings, dense_ms)
        if isinstance(outcome, Refusal):
            found.append(Measurement(shape, tokens, kind, layout.backend, None, None, refusal=outcome.reason))
        else:
            times = outcome.dense_ms, outcome.sparse_ms, outcome.algorithm
            found.append(Measurement(shape, tokens, kind, layout.backend, *times))
    return found
