"""A machine that is none: dense tensors play the packed ones, and times are given."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from permsolve.networks.pruning import finalize_, prune_


@dataclass
class Emulation:
    """Packs by copying, and takes as long as it is told to.

    Attributes
    ----------
    times : dict of str to float
        Milliseconds of "dense" and of each backend.
    damage : str
        Backend whose packed tensors are wrong in one entry.
    refuses : str
        Backend that raises what torch raises.
    algorithm : int
        The fastest algorithm of cusparselt.
    packed : list of (str, tuple of int)
        What was packed: backend and shape.
    """

    times: dict[str, float] = field(default_factory=lambda: {"dense": 2.0, "cusparselt": 1.0, "cutlass": 1.5})
    damage: str = ""
    refuses: str = ""
    algorithm: int = 0
    packed: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    _timed: str = "dense"

    def obstacle(self, device: torch.device) -> str | None:
        """All devices will do."""
        return None

    def backends(self) -> tuple[str, ...]:
        """Those that have a time."""
        return tuple(name for name in self.times if name != "dense")

    def pack(self, weight: Tensor, backend: str) -> Tensor:
        """A copy."""
        if backend == self.refuses:
            raise RuntimeError("Supported only on GPUs with compute capability 8.x\nsecond line")
        self.packed.append((backend, tuple(weight.shape)))
        self._timed = backend
        copy = weight.clone()
        if backend == self.damage:
            copy[0, 0] += 1.0
        return copy

    def tuned(self, packed: Tensor, shape: tuple[int, ...], call: Callable[[Tensor], Callable[[], object]]) -> Tensor:
        """Numbered, and called once."""
        call(packed)()
        packed.alg_id_cusparselt = self.algorithm  # type: ignore[attr-defined]
        return packed

    def unpack(self, weight: Tensor) -> Tensor:
        """The copy."""
        return weight

    def milliseconds(self, call: Callable[[], object]) -> float:
        """The time of what was packed last, of the dense layer otherwise."""
        call()
        timed, self._timed = self._timed, "dense"
        return self.times[timed]


def pruned(model: nn.Module, dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """A model in 16 bits, pruned for good, in evaluation mode."""
    prune_(model)
    finalize_(model)
    return model.to(dtype).eval()
