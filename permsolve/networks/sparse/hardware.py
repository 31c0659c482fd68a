"""The GPU as this package needs it: what it can do, packing a weight, timing a call."""

import statistics
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from permsolve.networks.sparse.layouts import tensor_class

# The first GPUs whose tensor cores run 2:4 (Ampere).
CAPABILITY = (8, 0)
WARM_UP = 5
# Calls that are timed one by one, until there are so many, or this many milliseconds are spent.
CALLS = 50
BUDGET_MS = 300.0
# Bytes written between two calls, more than any second-level cache: a layer of a network finds its weight cold.
FLUSH = 1 << 28


class Hardware(Protocol):
    """What :func:`.sparsify_` asks of a machine; tests bring one of their own."""

    def obstacle(self, device: torch.device) -> str | None:
        """Why no tensor on this device can be 2:4 sparse; None when it can."""
        ...

    def backends(self) -> tuple[str, ...]:
        """Names of the backends that are there."""
        ...

    def pack(self, weight: Tensor, backend: str) -> Tensor:
        """A 2:4 matrix, whose shape fits, as a tensor that linear layers multiply with."""
        ...

    def unpack(self, weight: Tensor) -> Tensor:
        """The dense matrix behind what :meth:`pack` made."""
        ...

    def milliseconds(self, call: Callable[[], object]) -> float:
        """How long a call takes."""
        ...


class Cuda:
    """The GPU that torch sees."""

    def obstacle(self, device: torch.device) -> str | None:
        """Why no tensor on this device can be 2:4 sparse; None when it can."""
        if not torch.cuda.is_available():
            return "no CUDA device"
        if torch.version.cuda is None:
            return "torch is built for another vendor's GPUs than NVIDIA's"
        if device.type != "cuda":
            return f"the weight is on {device}: move the model to the GPU first"
        capability = torch.cuda.get_device_capability(device)
        if capability < CAPABILITY:
            major, minor = capability
            return f"compute capability {major}.{minor}: 2:4 needs {CAPABILITY[0]}.{CAPABILITY[1]} (Ampere) or later"
        if not self.backends():
            return "this build of torch has no 2:4 backend"
        return None

    def backends(self) -> tuple[str, ...]:
        """cuSPARSELt where torch was built with it; CUTLASS, which refuses some devices when it is called."""
        library = getattr(torch.backends, "cusparselt", None)
        found = ("cusparselt",) if library is not None and library.is_available() else ()
        return (*found, "cutlass")

    def pack(self, weight: Tensor, backend: str) -> Tensor:
        """Compress a weight by torch's own conversion."""
        packed: Tensor = tensor_class(backend).from_dense(weight.contiguous())  # type: ignore[attr-defined]
        return packed

    def unpack(self, weight: Tensor) -> Tensor:
        """The dense matrix."""
        return weight.to_dense()

    def milliseconds(self, call: Callable[[], object]) -> float:
        """Median time of a call on the device, with a cold second-level cache."""
        flush = torch.empty(FLUSH, dtype=torch.int8, device="cuda")
        for _ in range(WARM_UP):
            call()
        times: list[float] = []
        while len(times) < CALLS and sum(times) < BUDGET_MS:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            flush.zero_()
            start.record()
            call()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
        return statistics.median(times)
