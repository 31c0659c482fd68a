"""Reading a weight as a matrix: rows by columns, in blocks, whatever its type and shape."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.checks import kind_of, refuse_odd_array
from permsolve.errors import InvalidProblemError

BLOCK_ELEMENTS = 1 << 22
MAX_DIMENSIONS = 5


def as_weight(weight: Any) -> NDArray[Any]:
    """Return ``weight`` as a numpy array of real numbers with 2 to 5 dimensions, without copying where possible.

    Torch tensors are taken as they are (detached, moved to the CPU; bfloat16 is widened), without
    importing torch.

    Raises
    ------
    InvalidProblemError
        When it is not numeric, is complex, is empty, or has fewer than 2 or more than 5 dimensions.
    """
    array = as_array(weight)
    if not is_real(array.dtype):
        raise InvalidProblemError(f"a weight must hold real numbers, got {kind_of(array.dtype)}")
    if not 2 <= array.ndim <= MAX_DIMENSIONS:
        raise InvalidProblemError(
            f"a weight has 2 (linear) to {MAX_DIMENSIONS} (convolution) dimensions, got shape {array.shape}"
        )
    if array.size == 0:
        raise InvalidProblemError(f"the weight is empty: shape {array.shape}")
    return array


def as_array(weight: Any) -> NDArray[Any]:
    """Return ``weight``, perhaps a torch tensor or nested lists, as a numpy array of whatever it holds.

    Raises
    ------
    InvalidProblemError
        When it is masked, sparse or ragged, or no array at all.
    """
    torch = sys.modules.get("torch")  # who has a tensor has imported it
    if torch is not None and isinstance(weight, torch.Tensor):
        return _from_torch(weight)
    if torch is not None and isinstance(weight, torch.nn.Module):
        raise InvalidProblemError(f"a weight must be an array, got a {type(weight).__name__}: give its .weight")
    refuse_odd_array("a weight", weight)
    try:
        return np.asarray(weight)
    except (ValueError, TypeError) as error:
        raise InvalidProblemError(f"a weight must be an array of numbers: {error}") from error


def is_real(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype holds real numbers; bfloat16 and the 8-bit floats of ml_dtypes count."""
    if dtype.kind in "iuf":
        return True
    return dtype.kind == "V" and dtype.names is None and ("float" in dtype.name)


def _from_torch(tensor: Any) -> NDArray[Any]:
    if tensor.is_quantized:
        raise InvalidProblemError(f"a torch weight must not be quantized, got {tensor.dtype}: give weight.dequantize()")
    if tensor.layout.__repr__() != "torch.strided":
        raise InvalidProblemError(f"a torch weight must be dense (strided), got layout {tensor.layout}")
    if tensor.is_meta:
        raise InvalidProblemError("the weight is on the meta device and has no values: load the weights first")
    try:
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
        if "bfloat16" in str(tensor.dtype) or "float8" in str(tensor.dtype):
            tensor = tensor.float()
        array: NDArray[Any] = tensor.numpy()
    except (RuntimeError, TypeError, ValueError) as error:  # of a kind that numpy does not know, or without a shape yet
        said = " ".join(str(error).split())[:200]
        raise InvalidProblemError(
            f"a torch weight must be a plain tensor of numbers, got {type(tensor).__name__} of {tensor.dtype} ({said})"
        ) from error
    return array


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of a weight read as a matrix: (out, in, k...) has out * k... rows and in columns."""
    rows = shape[0]
    for extent in shape[2:]:
        rows *= extent
    return rows, shape[1]


def working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The float type that holds every value of ``dtype`` exactly (float64 for 64-bit integers too)."""
    wide = (dtype.kind == "f" and dtype.itemsize > 4) or (dtype.kind in "iu" and dtype.itemsize > 2)
    return np.dtype(np.float64 if wide else np.float32)


def row_blocks(weight: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the weight as matrix blocks of whole rows, in :func:`working_dtype`, some 4 M entries each."""
    dtype = working_dtype(weight.dtype)
    for outputs in _outputs(weight):
        block = np.moveaxis(outputs, 1, -1)
        yield np.ascontiguousarray(block, dtype=dtype).reshape(-1, weight.shape[1])


def flat_blocks(weight: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the weight as blocks (some outputs, in * k...) in :func:`working_dtype`, channels before kernel places."""
    dtype = working_dtype(weight.dtype)
    for outputs in _outputs(weight):
        yield np.ascontiguousarray(outputs, dtype=dtype).reshape(len(outputs), -1)


def _outputs(weight: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Parts of whole outputs (axis 0), some 4 M entries each."""
    per_output = max(1, weight.size // weight.shape[0])
    step = max(1, BLOCK_ELEMENTS // per_output)
    for start in range(0, weight.shape[0], step):
        yield weight[start : start + step]


def as_matrix(weight: NDArray[Any]) -> NDArray[Any]:
    """The whole weight as one matrix in :func:`working_dtype`."""
    return np.concatenate(list(row_blocks(weight)))
