"""What became of each layer, and why."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from permsolve.io.documents import json_text
from permsolve.io.writing import atomic_write
from permsolve.networks.table import aligned

FORMAT = "permsolve-sparse-report"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One weight.

    Attributes
    ----------
    name : str
        Its name, ``layer.weight``.
    shape : tuple of int
        Its shape.
    dtype : str
        Its type, ``bfloat16``.
    sparse : bool
        Whether it is a semi-structured tensor now.
    eligible : bool
        Whether device, dtype and shape (with padding where that was allowed) admit one.
    reason : str
        Why it is not eligible, or why it stayed dense, or what it became.
    input_shape : tuple of int or None
        Shape of the input that it was timed with.
    backend : str or None
        The backend that is in use, or that was nearest to be used.
    algorithm : int or None
        Number of cuSPARSELt's algorithm, the fastest of all where they were timed; None with another backend.
    padded : tuple of int or None
        Shape of the packed matrix, where that is not the weight's own.
    dense_ms, sparse_ms : float or None
        Milliseconds per call of the layer; None where it was not timed.
    max_error : float or None
        Largest difference between the outputs of the sparse and the masked dense layer, relative to the largest output.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    sparse: bool
    eligible: bool
    reason: str
    input_shape: tuple[int, ...] | None = None
    backend: str | None = None
    algorithm: int | None = None
    padded: tuple[int, int] | None = None
    dense_ms: float | None = None
    sparse_ms: float | None = None
    max_error: float | None = None

    @property
    def speedup(self) -> float | None:
        """Dense by sparse time; None where it was not timed."""
        return None if self.dense_ms is None or self.sparse_ms is None else self.dense_ms / self.sparse_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseReport:
    """What :func:`permsolve.networks.sparsify_` did.

    Attributes
    ----------
    layers : tuple of LayerReport
        Every weight that was looked at, in the order of the model.
    output_error : float or None
        Largest difference between the model's outputs before and after, relative to the largest entry of its tensor;
        None without example inputs.
    """

    layers: tuple[LayerReport, ...]
    output_error: float | None = None

    @property
    def sparse(self) -> tuple[str, ...]:
        """Names of the weights that are semi-structured tensors now."""
        return tuple(layer.name for layer in self.layers if layer.sparse)

    def __repr__(self) -> str:
        eligible = sum(layer.eligible for layer in self.layers)
        error = "" if self.output_error is None else f", outputs differ by {self.output_error:.1e}"
        return f"SparseReport({len(self.sparse)} of {len(self.layers)} weights sparse, {eligible} eligible{error})"

    def table(self) -> str:
        """The layers as text in columns."""
        rows = [("weight", "shape", "dtype", "input", "dense ms", "sparse ms", "speed-up", "error", "")]
        rows += [
            (
                layer.name,
                _extents(layer.shape) + (f" -> {_extents(layer.padded)}" if layer.padded else ""),
                layer.dtype,
                _extents(layer.input_shape or ()),
                _number(layer.dense_ms, ".3f"),
                _number(layer.sparse_ms, ".3f"),
                _number(layer.speedup, ".2f"),
                _number(layer.max_error, ".1e"),
                layer.reason,
            )
            for layer in self.layers
        ]
        return "\n".join([*aligned(rows), repr(self)])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        layers = [{**asdict(layer), "speedup": layer.speedup} for layer in self.layers]
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "output_error": self.output_error,
            "layers": layers,
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Write the report as JSON; the file appears whole or not at all."""
        text = json_text(self.to_dict(), indent=1) + "\n"
        atomic_write(Path(path), lambda stream: stream.write(text.encode()))


def _extents(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
