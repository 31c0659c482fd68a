"""The GPU as this package needs it: what it can do, packing a weight, timing a call."""

import statistics
import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, sparse

from permsolve.networks.sparse.layouts import tensor_class

# The first GPUs whose tensor cores run 2:4 (Ampere).
CAPABILITY = (8, 0)
# Calls that are timed one by one, until there are so many, or this many milliseconds are spent. Before them there are
# WARM_UP calls, and as many as fit into a share of the budget: a GPU that was idle takes a while to raise its clock.
CALLS = 50
BUDGET_MS = 300.0
WARM_UP = 5
WARM_UP_SHARE = 0.1
# The same for choosing among algorithms: their number where torch does not know it, and so many refusals in a row that
# there are no more.
TUNING_CALLS = 5
TUNING_BUDGET_MS = 20.0
ALGORITHMS = 64
REFUSALS = 3
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

    def tuned(
        self,
        packed: Tensor,
        shape: tuple[int, ...],
        call: Callable[[Tensor], Callable[[], object]],
        right: Callable[[Tensor], bool],
    ) -> Tensor:
        """What :meth:`pack` made under the fastest right algorithm of its backend, for an input of a shape.

        ``call`` makes of a packed weight the call that is timed, ``right`` says whether its outputs are.
        """
        ...

    def unpack(self, weight: Tensor) -> Tensor:
        """The dense matrix behind what :meth:`pack` made."""
        ...

    def milliseconds(self, call: Callable[[], object]) -> float:
        """How long a call takes."""
        ...


class Cuda:
    """The GPU that torch sees."""

    def __init__(self) -> None:
        self._algorithms: dict[tuple[object, ...], int] = {}

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

    def tuned(
        self,
        packed: Tensor,
        shape: tuple[int, ...],
        call: Callable[[Tensor], Callable[[], object]],
        right: Callable[[Tensor], bool],
    ) -> Tensor:
        """Of cuSPARSELt's algorithms each is timed, once for all weights and inputs of a shape; CUTLASS has one."""
        if not isinstance(packed, sparse.SparseSemiStructuredTensorCUSPARSELT):
            return packed
        key = (packed.shape, packed.dtype, packed.device, shape)
        if key not in self._algorithms:
            self._algorithms[key] = self._fastest(packed, call, right)
        return _under(packed, self._algorithms[key])

    def _fastest(
        self,
        packed: sparse.SparseSemiStructuredTensorCUSPARSELT,
        call: Callable[[Tensor], Callable[[], object]],
        right: Callable[[Tensor], bool],
    ) -> int:
        """Of those that are right, the fastest; the default where none is.

        Since version 0.6.2 a weight that is compressed without a plan need not suit every algorithm, and on some
        devices some are wrong now and then (pytorch issue 155333): each must be right before it is timed, and after.
        """
        best, least, refused = 0, float("inf"), 0
        for algorithm in range(torch.backends.cusparselt.get_max_alg_id() or ALGORITHMS):
            candidate = _under(packed, algorithm)
            try:
                if not right(candidate):
                    continue
                taken = self.milliseconds(call(candidate), TUNING_CALLS, TUNING_BUDGET_MS)
                if taken < least and not right(candidate):
                    continue
            except RuntimeError:  # what torch raises for an algorithm that there is not, or not for this shape
                refused += 1
                if refused == REFUSALS:
                    break
                continue
            refused = 0
            if taken < least:
                best, least = algorithm, taken
        return best

    def unpack(self, weight: Tensor) -> Tensor:
        """The dense matrix: torch multiplies by the identity, which is another layout than any that was tuned for."""
        if isinstance(weight, sparse.SparseSemiStructuredTensorCUSPARSELT):
            weight = _under(weight, 0)
        return weight.to_dense()

    def milliseconds(self, call: Callable[[], object], calls: int = CALLS, budget: float = BUDGET_MS) -> float:
        """Median time of a call, with a cold second-level cache, on the GPU or, if that is longer, of its launch.

        A small layer whose kernel takes less time than the host to launch it makes no model faster.
        """
        flush = torch.empty(FLUSH, dtype=torch.int8, device="cuda")
        begun, warm = time.perf_counter(), 0
        while warm < WARM_UP or 1e3 * (time.perf_counter() - begun) < WARM_UP_SHARE * budget:
            call()
            torch.cuda.synchronize()
            warm += 1
        times: list[float] = []
        while len(times) < calls and sum(times) < budget:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            flush.zero_()
            start.record()
            begun = time.perf_counter()
            call()
            launched = time.perf_counter() - begun
            end.record()
            end.synchronize()
            times.append(max(start.elapsed_time(end), 1e3 * launched))
        return statistics.median(times)


def _under(packed: sparse.SparseSemiStructuredTensorCUSPARSELT, algorithm: int) -> Tensor:
    """The same memory, to be multiplied by another algorithm."""
    other = packed.detach()
    other.alg_id_cusparselt = algorithm  # type: ignore[attr-defined]
    return other
