"""One layer, dense and sparse: how long each takes, and how far apart they are."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from permsolve.networks.sparse.forms import padded_matrix, sparse_copy
from permsolve.networks.sparse.hardware import Hardware
from permsolve.networks.verify import difference

# Both products are summed in float32 and rounded once: a few units of rounding of the largest entry.
ROUNDINGS = 4.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What a layer does with a packed weight.

    Attributes
    ----------
    backend : str
        Backend.
    padded : tuple of int
        Shape of the packed matrix.
    packed : Tensor
        The packed matrix.
    error : float
        Largest difference between the outputs, relative to the largest output.
    dense_ms, sparse_ms : float or None
        Milliseconds per call; None where nothing was timed.
    """

    backend: str
    padded: tuple[int, int]
    packed: Tensor
    error: float
    dense_ms: float | None = None
    sparse_ms: float | None = None

    @property
    def algorithm(self) -> int | None:
        """Number of cuSPARSELt's algorithm, the default being 0; None for CUTLASS, which has one."""
        return getattr(self.packed, "alg_id_cusparselt", None) if self.backend == "cusparselt" else None

    @property
    def speedup(self) -> float | None:
        """Dense by sparse time."""
        if self.dense_ms is None or self.sparse_ms is None:
            return None
        return self.dense_ms / self.sparse_ms


def tolerance(dtype: torch.dtype) -> float:
    """Largest difference, relative to the largest output, that rounding explains."""
    return ROUNDINGS * torch.finfo(dtype).eps


def sample(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A random input of a shape, always the same, of the dtype and on the device of a weight."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator).to(like.device, like.dtype)


@torch.no_grad()
def try_layer(
    layer: nn.Module,
    backend: str,
    padded: tuple[int, int],
    shape: tuple[int, ...],
    hardware: Hardware,
    dense_ms: float | None,
) -> Trial:
    """Pack the weight of a layer, choose the algorithm, and compare it with the dense one on random input.

    Parameters
    ----------
    layer : Module
        A layer with a sparse form, which stays as it is.
    backend : str
        Which backend packs.
    padded : tuple of int
        Shape of the packed matrix.
    shape : tuple of int
        Shape of the input.
    hardware : Hardware
        Packs and times.
    dense_ms : float or None
        What the dense layer takes (:func:`dense_milliseconds`); None: nothing is timed, the algorithm is the default.

    Raises
    ------
    RuntimeError
        What torch raises when the backend refuses device, dtype or shape.
    """
    x = sample(shape, layer.get_parameter("weight"))

    def call(weight: Tensor) -> Callable[[], object]:
        form = sparse_copy(layer, weight)
        return lambda: form.forward(x)

    packed = hardware.pack(padded_matrix(layer, padded), backend)
    if dense_ms is not None:
        packed = hardware.tuned(packed, shape, call)
    sparse = sparse_copy(layer, packed)
    error = difference([layer.forward(x)], [sparse.forward(x)])
    sparse_ms = None if dense_ms is None else hardware.milliseconds(lambda: sparse.forward(x))
    return Trial(backend, padded, packed, error, dense_ms, sparse_ms)


@torch.no_grad()
def dense_milliseconds(layer: nn.Module, shape: tuple[int, ...], hardware: Hardware) -> float:
    """Milliseconds of the dense layer, hooks left out, on random input of a shape."""
    x = sample(shape, layer.get_parameter("weight"))
    return hardware.milliseconds(lambda: layer.forward(x))
