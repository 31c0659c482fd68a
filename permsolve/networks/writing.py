"""Writing to a tensor where it stands, and why that cannot be done to some."""

import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from permsolve.errors import InvalidNetworkError

_PLAIN = (Tensor, nn.Parameter)
_FLOAT8 = "float8"
_FREED = "its memory was set free (a model that is sharded or offloaded): gather the whole weights first"
# Where Linux says which memory of this process may be written to.
_MAPS = Path("/proc/self/maps")


@contextmanager
def writing(tensor: Tensor) -> Iterator[None]:
    """Allow writes to a tensor, and nothing of them to be recorded for a gradient.

    A tensor that was made in inference mode is written to in that mode, and all others outside of it, so that torch
    counts the versions of those.
    """
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        yield


def obstacle_to_writing(tensor: Tensor, protected: "ReadOnlyMemory | None" = None) -> str | None:
    """Why the entries of a tensor cannot be exchanged or set where they stand, with the remedy; None where they can."""
    if tensor.is_meta:
        return (
            "it is on the meta device and has no values (a model that is not loaded, or a layer that is offloaded): "
            "load all weights onto a device first"
        )
    if tensor.is_quantized:
        return f"it is quantized ({tensor.dtype}): give the model before it was quantized"
    if tensor.layout != torch.strided:
        return f"it is no dense tensor ({tensor.layout}): make it dense with .to_dense()"
    if type(tensor) not in _PLAIN:
        return (
            f"nobody knows what a write to a {type(tensor).__name__}, a tensor class of its own, would do: give the "
            "model with plain tensors"
        )
    if overlaps_itself(tensor):
        return (
            "several of its entries are one in memory (an expanded tensor): give it memory of its own with "
            ".detach().clone(memory_format=torch.contiguous_format)"
        )
    if _is_freed(tensor):
        return _FREED
    if (protected or ReadOnlyMemory()).has(tensor):
        return "its memory is read-only (a memory map): give it memory of its own with .clone()"
    return None


def check_present(model: nn.Module) -> None:
    """Refuse a model of which a parameter or buffer has no values, whether or not that is to be written to.

    Raises
    ------
    InvalidNetworkError
        With the name of the first.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise InvalidNetworkError(
                f"{name} is on the meta device and has no values (a model that is not loaded, or a layer that is "
                "offloaded): load the weights first, all of them onto a device, or ask for the axis groups alone with "
                "networks.trace"
            )
        if type(tensor) in _PLAIN and not is_lazy(tensor) and _is_freed(tensor):
            raise InvalidNetworkError(f"{name} has no values, since {_FREED}")


def check_writable(tensors: Iterable[tuple[str, Tensor]], otherwise: str = "") -> None:
    """Refuse tensors, given with their names, that cannot be written to where they stand.

    ``otherwise`` is a further remedy.

    Raises
    ------
    InvalidNetworkError
        With the name of the first, the reason and the remedy.
    """
    protected = ReadOnlyMemory()
    for name, tensor in tensors:
        why = obstacle_to_writing(tensor, protected)
        if why is not None:
            raise InvalidNetworkError(f"{name} cannot be changed in place, since {why}{otherwise}")


def is_float8(tensor: Tensor) -> bool:
    """Whether the entries are floats of 8 bits, which torch stores but does not compute with."""
    return _FLOAT8 in str(tensor.dtype)


def overlaps_itself(tensor: Tensor) -> bool:
    """Whether two entries of a tensor are the same memory, or might be."""
    reach = 0
    for stride, extent in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if extent > 1:
            if stride <= reach:
                return tensor.numel() > 0
            reach += stride * (extent - 1)
    return False


def _is_freed(tensor: Tensor) -> bool:
    """Whether a dense tensor is larger than the memory that it has."""
    if tensor.layout != torch.strided or not tensor.numel():
        return False
    return tensor.untyped_storage().nbytes() < _extent(tensor) * tensor.element_size()


def _extent(tensor: Tensor) -> int:
    """Number of entries of the storage up to the last one of a tensor."""
    last = sum((extent - 1) * stride for extent, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return int(tensor.storage_offset()) + last + 1


class ReadOnlyMemory:
    """Memory of this process that nobody may write to, as it is now; none where the system does not say.

    A write there would end the process: torch does not know that a numpy memory map is read-only.
    """

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._writable: list[bool] = []
        if sys.platform == "linux" and _MAPS.is_file():
            for line in _MAPS.read_text(errors="replace").splitlines():
                span, rights, *_ = line.split(maxsplit=2)
                self._begins.append(int(span.partition("-")[0], 16))
                self._writable.append("w" in rights)

    def has(self, tensor: Tensor) -> bool:
        """Whether a tensor is there."""
        if tensor.device.type != "cpu" or not tensor.numel():
            return False
        place = bisect_right(self._begins, tensor.data_ptr()) - 1
        return place >= 0 and not self._writable[place]
