"""A machine that is none: dense tensors play the packed ones, and times are given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.sparse._semi_structured_conversions import (
    sparse_semi_structured_from_dense_cutlass,
    sparse_semi_structured_to_dense_cutlass,
)

from permsolve.networks.pruning import finalize_, prune_


@dataclass
class Emulation:
    """Packs by copying, through torch's own CUTLASS format where that is asked for, and takes as long as it is told to.

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
    timed : list of str
        What was timed, "dense" or a backend.
    """

    times: dict[str, float] = field(default_factory=lambda: {"dense": 2.0, "cusparselt": 1.0, "cutlass": 1.5})
    damage: str = ""
    refuses: str = ""
    algorithm: int = 0
    packed: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    timed: list[str] = field(default_factory=list)
    _backends: dict[int, tuple[str, Tensor]] = field(default_factory=dict)

    def obstacle(self, device: torch.device) -> str | None:
        """All devices will do."""
        return None

    def backends(self) -> tuple[str, ...]:
        """Those that have a time."""
        return tuple(name for name in self.times if name != "dense")

    def pack(self, weight: Tensor, backend: str) -> Tensor:
        """A copy: of CUTLASS's what its conversions, which run on any machine, make of their own work."""
        if backend == self.refuses:
            raise RuntimeError("Supported only on GPUs with compute capability 8.x\nsecond line")
        self.packed.append((backend, tuple(weight.shape)))
        copy = weight.clone()
        if backend == "cutlass":
            copy = sparse_semi_structured_to_dense_cutlass(*sparse_semi_structured_from_dense_cutlass(weight))
        if backend == self.damage:
            copy[0, 0] += 1.0
        self._backends[copy.data_ptr()] = backend, copy
        return copy

    def tuned(
        self,
        packed: Tensor,
        shape: tuple[int, ...],
        call: Callable[[Tensor], Callable[[], object]],
        right: Callable[[Tensor], bool],
    ) -> Tensor:
        """Numbered, and called once."""
        call(packed)()
        assert right(packed) == (self._backends[packed.data_ptr()][0] != self.damage)
        packed.alg_id_cusparselt = self.algorithm  # type: ignore[attr-defined]
        return packed

    def unpack(self, weight: Tensor) -> Tensor:
        """The copy."""
        return weight

    def milliseconds(self, call: Callable[[], object]) -> float:
        """The time of the backend whose tensor the call multiplies with, of the dense layer otherwise."""
        with _Operands() as operands:
            call()
        names = {name for place, (name, _) in self._backends.items() if place in operands.places}
        (name,) = names or {"dense"}
        self.timed.append(name)
        return self.times[name]


class _Operands(TorchFunctionMode):
    """Where the tensors are that functions are called with."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.places.update(one.data_ptr() for one in args if isinstance(one, Tensor))
        return func(*args, **(kwargs or {}))


def pruned(model: nn.Module, dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """A model in 16 bits, pruned for good, in evaluation mode."""
    prune_(model)
    finalize_(model)
    return model.to(dtype).eval()
