"""One layer, dense and sparse: how long each takes, and how far apart they are."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from permsolve.networks.differences import difference
from permsolve.networks.prunable import WEIGHT
from permsolve.networks.sparse.forms import padded_matrix, sparse_copy
from permsolve.networks.sparse.hardware import Hardware

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
    """A random input of a shape, of the dtype and on the device of a weight, always the same there."""
    generator = torch.Generator(like.device).manual_seed(0)
    return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a backend does not serve for a layer.

    Attributes
    ----------
    reason : str
        Its name, and what torch said or how wrong it is.
    wrong : bool
        Whether it computed something, but not what the dense layer does.
    """

    reason: str
    wrong: bool


class Timings:
    """Times of layers on a machine, one measurement for all layers of a kind that read inputs of a shape."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware
        self._known: dict[tuple[object, ...], float] = {}

    def milliseconds(self, layer: nn.Module, how: tuple[object, ...], x: Tensor, call: Callable[[], object]) -> float:
        """Time of a call of a layer, or of one of the same kind: as dense or by which backend says ``how``."""
        weight, bias = layer.get_parameter(WEIGHT), getattr(layer, "bias", None)
        kind = (type(layer), getattr(layer, "stride", None), bias is None, weight.shape, weight.dtype, weight.device)
        key = (*kind, x.shape, *how)
        if key not in self._known:
            with torch.cuda.device_of(x):
                self._known[key] = self.hardware.milliseconds(call)
        return self._known[key]


@torch.no_grad()
def try_layer(
    layer: nn.Module,
    backend: str,
    padded: tuple[int, int],
    shape: tuple[int, ...],
    timings: Timings,
    dense_ms: float | None,
) -> Trial | Refusal:
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
        Shape of the input. The first of its batch alone is compared too: the last batch of a data set is smaller.
    timings : Timings
        Packs and times.
    dense_ms : float or None
        What the dense layer takes (:func:`dense_milliseconds`); None: nothing is timed, the algorithm is the default.

    Returns
    -------
    Trial or Refusal
        What it does, when that is what the dense layer does but for rounding.
    """
    dense = layer.get_parameter(WEIGHT)
    x = sample(shape, dense)
    inputs = [x, x[:1]] if len(shape) >= dense.ndim else [x]
    expected = [layer.forward(one) for one in inputs]
    limit = tolerance(dense.dtype)

    def call(weight: Tensor) -> Callable[[], object]:
        form = sparse_copy(layer, weight)
        return lambda: form.forward(x)

    def error_of(weight: Tensor) -> float:
        form = sparse_copy(layer, weight)
        return difference(expected, [form.forward(one) for one in inputs])

    try:
        with torch.cuda.device_of(x):
            packed = timings.hardware.pack(padded_matrix(layer, padded), backend)
            if dense_ms is not None:
                packed = timings.hardware.tuned(packed, shape, call, lambda weight: error_of(weight) <= limit)
            error = error_of(packed)
    except (RuntimeError, NotImplementedError) as failure:  # torch refuses devices and shapes that way
        first, *_ = str(failure).splitlines() or [type(failure).__name__]
        return Refusal(f"{backend} refuses: {first}", wrong=False)
    if not error <= limit:
        return Refusal(f"{backend} differs by {error:.1e}, more than rounding ({limit:.1e})", wrong=True)
    trial = Trial(backend, padded, packed, error)
    if dense_ms is None:
        return trial
    sparse_ms = timings.milliseconds(layer, (backend, padded, trial.algorithm), x, call(packed))
    return replace(trial, dense_ms=dense_ms, sparse_ms=sparse_ms)


@torch.no_grad()
def dense_milliseconds(layer: nn.Module, shape: tuple[int, ...], timings: Timings) -> float:
    """Milliseconds of the dense layer, hooks left out, on random input of a shape."""
    x = sample(shape, layer.get_parameter(WEIGHT))
    return timings.milliseconds(layer, ("dense",), x, lambda: layer.forward(x))
