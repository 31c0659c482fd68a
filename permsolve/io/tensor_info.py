"""What a weight file holds, without loading it."""

from dataclasses import dataclass

from permsolve.weights import MAX_DIMENSIONS


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
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    reason: str | None

    @property
    def eligible(self) -> bool:
        """Whether its columns can be permuted."""
        return self.reason is None

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], dtype: str, *, real: bool) -> "TensorInfo":
        """Describe a tensor and decide whether it is eligible."""
        reason = None
        if not real:
            reason = f"dtype {dtype} is not supported"
        elif not 2 <= len(shape) <= MAX_DIMENSIONS:
            reason = f"it needs 2 to {MAX_DIMENSIONS} dimensions and has {len(shape)}"
        elif 0 in shape:
            reason = "empty"
        return cls(name, shape, dtype, reason)
