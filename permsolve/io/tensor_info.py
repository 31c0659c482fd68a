"""What a weight file holds, without loading it."""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from permsolve.weights import MAX_DIMENSIONS, is_real

# Values of this type are factors of others, never a weight of their own.
_SCALES = np.dtype(ml_dtypes.float8_e8m0fnu)
# Integers of so many bytes and more are places and indices; smaller ones may be codes of weights.
_INDEX_BYTES = 8
# Of numpy's kinds: truth values, text, times.
_NO_NUMBERS = "bSUMmT"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a weight file.

    Attributes
    ----------
    name : str
        Its name in the file.
    shape : tuple of int
        Its shape.
    dtype : str
        Its type, in numpy's words.
    reason : str or None
        Why its columns cannot be permuted, None when they can.
    integer : bool
        Whether it holds integers, which may be a table or packed codes: it counts as a weight only when it is named or
        alone in its file.
    unread : bool
        Whether it may hold a weight that is passed over unless it is named: one of a type whose values cannot be told,
        or integers that are no indices.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    reason: str | None
    integer: bool = False
    unread: bool = False

    @property
    def eligible(self) -> bool:
        """Whether its columns can be permuted."""
        return self.reason is None

    @property
    def passed_over(self) -> str:
        """Why nobody looks at it where it is not named."""
        return self.reason or f"{self.dtype} may be packed codes or a table"

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any] | str") -> "TensorInfo":
        """Describe a tensor of a type, or of one that numpy lacks and the file calls so; decide whether it is eligible.

        A matrix of more dimensions than a weight has may be one all the same; a vector, or what is empty, is none.
        """
        called = dtype if isinstance(dtype, str) else dtype.name
        readable = not isinstance(dtype, str) and is_real(dtype) and dtype != _SCALES
        integer = not isinstance(dtype, str) and dtype.kind in "iu"
        reason = None
        if not readable:
            reason = f"dtype {called} is not supported"
        elif not 2 <= len(shape) <= MAX_DIMENSIONS:
            reason = f"it needs 2 to {MAX_DIMENSIONS} dimensions and has {len(shape)}"
        elif 0 in shape:
            reason = "empty"
        perhaps = len(shape) >= 2 and 0 not in shape
        if perhaps and not isinstance(dtype, str):
            perhaps = dtype.itemsize < _INDEX_BYTES if integer else dtype.kind not in _NO_NUMBERS
        unread = perhaps and (reason is not None or integer)
        return cls(name, shape, called, reason, integer, unread)
