"""What a solve returns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.arithmetic import own_arithmetic
from permsolve.certificate import Certificate
from permsolve.errors import InvalidSolutionError
from permsolve.io.documents import Document, read_document, understanding, write_document
from permsolve.io.reading import reading
from permsolve.masks import nm_mask, reorder
from permsolve.moments import InputMoments
from permsolve.pattern import Pattern
from permsolve.permutation import check_permutation, to_groups
from permsolve.problem import efficacy
from permsolve.run import TracePoint
from permsolve.saliency import AnySaliency
from permsolve.status import Status, StopReason
from permsolve.weights import as_weight

FORMAT = "permsolve-result"
FORMAT_VERSION = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """The best permutation that a solver found, and what is known about it.

    Attributes
    ----------
    permutation : ndarray of int64, shape (columns,)
        Read-only; ``weight[:, permutation]`` is the re-ordered weight. Canonical: columns
        ascending inside a group, groups by their first column, a short group last.
    pattern : Pattern
        The pattern it was solved for.
    value : float
        Saliency kept, re-scored by the core in float64.
    baseline : float
        Saliency kept in the given order.
    row_bound : float
        Saliency kept when each row is pruned freely: the loose bound by which :attr:`efficacy` is measured.
    bound : float
        Best valid upper bound known, at most ``row_bound``; valid up to a share of 1e-9 (see :class:`Status`).
    status : Status
        ``OPTIMAL`` when the value is proven to be the best possible, else ``FEASIBLE``.
    stop_reason : StopReason
        Why the search ended.
    runtime : float
        Seconds of search.
    time_limit : float
        Seconds granted, ``inf`` when only other criteria stopped the search.
    iterations : int
        Iterations done, in the solver's own unit.
    trace : tuple of TracePoint
        Every improvement: time, value, bound.
    solver : str
        Name of the solver.
    seed, workers : int
        What it ran with.
    options : dict
        Options given to the solver.
    versions : dict of str to str
        Versions of permsolve and of what it computes with.
    saliency : str, optional
        Name of the saliency that the weight was scored by; None where the problem does not know it (see
        :attr:`Problem.saliency_name`), and in files of older versions.
    proof : Certificate, optional
        What proves the bound, when it is another than the row bound: see :meth:`certificate`.
    notes : dict of str to str
        Remarks of the solver: under ``device`` the GPU that it used, when it did.
    """

    permutation: NDArray[np.int64]
    pattern: Pattern
    value: float
    baseline: float
    row_bound: float
    bound: float
    status: Status
    stop_reason: StopReason
    runtime: float
    time_limit: float
    iterations: int
    trace: tuple[TracePoint, ...]
    solver: str
    seed: int
    workers: int
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    saliency: str | None = None
    proof: Certificate | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = np.asarray(self.permutation).shape[0] if np.ndim(self.permutation) == 1 else -1
        checked = check_permutation(self.permutation, columns)
        checked.flags.writeable = False
        object.__setattr__(self, "permutation", checked)
        for name in ("value", "baseline", "row_bound", "bound", "runtime"):
            if not math.isfinite(getattr(self, name)):
                raise InvalidSolutionError(f"a result's {name} must be finite, got {getattr(self, name)}")

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickling drops an array's read-only flag.
        self.__dict__.update(state)
        self.permutation.flags.writeable = False

    def __repr__(self) -> str:
        return (
            f"Result({self.solver}, {self.pattern}, {self.columns} columns: kept {self.value:.6g}, "
            f"efficacy {self.efficacy:.2f} %, gap {100 * self.gap:.3f} %, {self.status}, "
            f"{self.stop_reason} after {self.runtime:.2f} s)"
        )

    @property
    def columns(self) -> int:
        """Number of columns ordered."""
        return int(self.permutation.shape[0])

    @property
    def gap(self) -> float:
        """``(bound - value) / value``; 0 when nothing at all can be kept."""
        return (self.bound - self.value) / self.value if self.value > 0.0 else 0.0

    @property
    def efficacy(self) -> float:
        """``100 (value - baseline) / (row_bound - baseline)`` (Pool & Yu 2021); 100 when there was no room."""
        return efficacy(self.value, self.baseline, self.row_bound)

    def certificate(self) -> Certificate:
        """What proves the bound: prices of the columns and more, to be checked by :func:`permsolve.verify`.

        A result whose solver proved nothing has the row bound's own certificate, which needs no data.
        """
        return self.proof or Certificate("rows", self.row_bound)

    @cached_property
    def groups(self) -> tuple[NDArray[np.int64], ...]:
        """The columns of each group, in the order of the permutation; the last group may be short."""
        columns = self.columns
        return tuple(group[group < columns] for group in to_groups(self.permutation, self.pattern))

    @own_arithmetic
    def apply(self, weight: Any) -> NDArray[Any]:
        """Re-order the columns (axis 1) of a weight.

        Parameters
        ----------
        weight : array_like, shape (out, columns) or (out, columns, k...)
            The weight, or anything that shares its input channels, such as a mask of it.

        Returns
        -------
        ndarray
            ``weight[:, permutation]``, a copy of the same dtype.

        Raises
        ------
        InvalidProblemError
            When it is no weight, or has another number of columns.
        """
        return reorder(weight, self.permutation)

    @own_arithmetic
    def mask(
        self, weight: Any, saliency: AnySaliency | None = None, inputs: InputMoments | None = None
    ) -> NDArray[np.bool_]:
        """Which entries of a weight to keep, in its *original* column order.

        ``apply(weight * mask(weight))`` follows the N:M pattern: exactly N entries of every full group are
        kept, those of largest saliency, and of equal ones those that come first.

        Parameters
        ----------
        weight : array_like, shape (out, columns) or (out, columns, k...)
            The weight.
        saliency : str, callable or Saliency, optional
            What to keep the largest of (see :meth:`Problem.from_weight`). Without it: what the permutation was solved
            for where its name is known (:attr:`saliency`), else magnitude; a function must be given again.
        inputs : InputMoments, optional
            What the layer reads, for a calibrated saliency.

        Returns
        -------
        ndarray of bool, shape of ``weight``
            True where the entry is kept.

        Raises
        ------
        InvalidProblemError
            When it is no weight, has another number of columns, or is not finite, or the moments do not fit it.
        InvalidOptionError
            When a calibrated saliency lacks the moments that it needs.
        UnknownSaliencyError
            When no saliency has this name.
        """
        chosen = saliency if saliency is not None else self.saliency or "magnitude"
        return nm_mask(as_weight(weight), self.permutation, self.pattern, chosen, inputs)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; :meth:`from_dict` is its inverse."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "solver": self.solver,
            "pattern": str(self.pattern),
            "saliency": self.saliency,
            "columns": self.columns,
            "status": str(self.status),
            "stop_reason": str(self.stop_reason),
            "value": self.value,
            "baseline": self.baseline,
            "row_bound": self.row_bound,
            "bound": self.bound,
            "gap": self.gap,
            "efficacy": self.efficacy,
            "runtime": self.runtime,
            "time_limit": self.time_limit if math.isfinite(self.time_limit) else None,
            "iterations": self.iterations,
            "seed": self.seed,
            "workers": self.workers,
            "options": dict(self.options),
            "versions": dict(self.versions),
            "trace": [[point.time, point.value, point.bound] for point in self.trace],
            "permutation": self.permutation.tolist(),
            "certificate": None if self.proof is None else self.proof.to_dict(),
            "notes": dict(self.notes),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Result":
        """Make a result of what :meth:`to_dict` gave.

        Raises
        ------
        FileFormatError
            When something is missing or has the wrong type.
        """
        with understanding(document, "a permsolve result", FORMAT, FORMAT_VERSION):
            limit = document["time_limit"]
            proof = document["certificate"]
            saliency = document.get("saliency")  # like notes not in files of older versions
            return cls(
                permutation=np.asarray(document["permutation"]),
                pattern=Pattern.parse(document["pattern"]),
                value=float(document["value"]),
                baseline=float(document["baseline"]),
                row_bound=float(document["row_bound"]),
                bound=float(document["bound"]),
                status=Status(document["status"]),
                stop_reason=StopReason(document["stop_reason"]),
                runtime=float(document["runtime"]),
                time_limit=math.inf if limit is None else float(limit),
                iterations=int(document["iterations"]),
                trace=tuple(TracePoint(*map(float, point)) for point in document["trace"]),
                solver=str(document["solver"]),
                seed=int(document["seed"]),
                workers=int(document["workers"]),
                saliency=None if saliency is None else str(saliency),
                options=dict(document["options"]),
                versions=dict(document["versions"]),
                proof=None if proof is None else Certificate.from_dict(proof),
                notes={str(name): str(text) for name, text in dict(document.get("notes", {})).items()},
            )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result to ``path``: ``.json`` (all of it as text) or ``.npz`` (arrays, and the rest as JSON).

        The file appears whole or not at all. Nothing is pickled.

        Raises
        ------
        FileFormatError
            When the name ends in neither.
        """
        write_document(Path(path), "result", self.to_dict(), _take_arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Result":
        """Read a result that :meth:`save` wrote.

        Raises
        ------
        FileFormatError
            When the file is no such result.
        OSError
            When it cannot be read.
        """
        source = Path(path)
        with reading(source, "a permsolve result"):
            return cls.from_dict(read_document(source, "result", _put_arrays))


def _take_arrays(document: Document) -> dict[str, NDArray[Any]]:
    return {
        "permutation": np.asarray(document.pop("permutation"), np.int64),
        "trace": np.asarray(document.pop("trace"), np.float64).reshape(-1, 3),
    }


def _put_arrays(document: Document, arrays: Mapping[str, NDArray[Any]]) -> None:
    document["permutation"] = arrays["permutation"]
    document["trace"] = arrays["trace"].tolist()
