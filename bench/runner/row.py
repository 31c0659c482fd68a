"""What a row is: one finished measurement, as plain JSON values."""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.plans import Share, Task
from bench.runner.machine import machine, revision
from permsolve.run import TracePoint

Row = dict[str, Any]
FORMAT = 1
RUN = "run"
_TRACE_POINTS = 40
_SHORT = np.dtype("<i2")
_LONG = np.dtype("<i4")


def base_row(task: Task) -> Row:
    """What is known of a row before anything is measured; the user's folders stay out of it."""
    return {
        "format": FORMAT,
        "key": task.key,
        "kind": task.kind,
        "instance": task.instance,
        "solver": task.solver,
        "label": task.name,
        "options": dict(task.options),
        "seed": task.seed,
        "workers": task.workers,
        "time_limit": None if isinstance(task.time_limit, Share) else task.time_limit,
        "error": None,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "revision": revision(),
    }


def error_row(task: Task, kind: str, message: str) -> Row:
    """The row of a measurement that failed; it is a finished one, too."""
    return {**base_row(task), "error": {"type": kind, "message": message[:2000]}}


def thinned(trace: Sequence[TracePoint]) -> list[list[float]]:
    """At most some forty points of a trace, evenly spread over the logarithm of time; the first and the last stay.

    Of the points between two marks the last is kept, so that the curve is never above the true one.
    """
    chosen = list(trace)
    if len(chosen) > _TRACE_POINTS:
        last = max(chosen[-1].time, 1e-3)
        marks = np.geomspace(min(1e-3, last / 2), last, _TRACE_POINTS - 1)
        times = np.array([point.time for point in chosen])
        kept = {0, len(chosen) - 1, *(np.searchsorted(times, marks, side="right") - 1).clip(0).tolist()}
        chosen = [chosen[place] for place in sorted(kept)]
    return [
        [float(f"{point.time:.4g}"), float(f"{point.value:.10g}"), float(f"{point.bound:.10g}")] for point in chosen
    ]


def pack_permutation(permutation: ArrayLike) -> str:
    """A permutation as text: base64 of little-endian 16-bit numbers, of 32-bit ones beyond 32768 columns."""
    array = np.asarray(permutation)
    return base64.b64encode(array.astype(_SHORT if array.size <= 1 << 15 else _LONG).tobytes()).decode()


def unpack_permutation(text: str, columns: int) -> NDArray[np.int64]:
    """The inverse of :func:`pack_permutation`.

    Raises
    ------
    ValueError
        When the text is something else.
    """
    kind = _SHORT if columns <= 1 << 15 else _LONG
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"no permutation of {columns} columns: {error}") from error
    if len(data) != columns * kind.itemsize:
        raise ValueError(f"no permutation of {columns} columns: {len(data)} bytes")
    return np.frombuffer(data, kind).astype(np.int64)


def finite(number: float) -> float | None:
    """JSON has no infinity: None stands for it."""
    return number if math.isfinite(number) else None


def is_error(row: Mapping[str, Any]) -> bool:
    """Whether a measurement failed."""
    return row["error"] is not None
