"""What was permuted, what it gained, and what was left alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import InvalidSpecError
from permsolve.io.documents import Document, read_document, understanding, write_document
from permsolve.io.reading import reading
from permsolve.networks.spec import AxisGroup, Spec
from permsolve.networks.table import aligned
from permsolve.pattern import Pattern
from permsolve.permutation import check_permutation
from permsolve.result import Result

FORMAT = "permsolve-network-report"
FORMAT_VERSION = 2


@dataclass(frozen=True, eq=False)
class GroupReport:
    """One axis group and its permutation.

    Attributes
    ----------
    name : str
        Name of the group in the spec.
    columns : int
        Number of channels.
    parameters : list of (str, int)
        (qualified name, axis) of all that follows.
    permutation : ndarray of int64, shape (columns,)
        Channel ``j`` became what channel ``permutation[j]`` was.
    value_before, value_after : float
        Saliency that N:M keeps in the columns of the group, of all weights that weigh in.
    result : Result or None
        What the solver returned for the stacked problem, before the group was ordered where it stands; None where there
        is no such problem, as the channels stand among other columns (see :mod:`permsolve.networks.interleaving`).
    """

    name: str
    columns: int
    parameters: list[tuple[str, int]]
    permutation: NDArray[np.int64]
    value_before: float
    value_after: float
    result: Result | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """What :func:`permsolve.networks.permute_` did.

    Attributes
    ----------
    pattern : Pattern
        The pattern.
    spec : Spec
        All axis groups, those left alone too.
    groups : tuple of GroupReport
        Those that were permuted.
    permuted_inputs : tuple of str
        Names of the prunable weights whose input axis was permuted, wholly or in part.
    coverage : float
        Share of the entries of all matrices that inputs are multiplied by, of kinds of layers that are not known too,
        that stand in permuted columns.
    skipped : dict of str to str
        Matrix (parameter with two or more axes) -> why its input axis, or a part of it, was not permuted.
    value_before, value_after : float
        Saliency that N:M keeps of the weights that weigh in, as they stood and as they stand.
    max_relative_error : float or None
        Largest difference of an output, relative to its largest entry; None when not verified, and when the model
        returned nothing that could be compared, which ``notes`` say.
    outputs : dict of str to dict
        Free output -> axis -> index: the output is now what it was, at ``[..., index, ...]``.
    gathered : dict of str to int
        Weight whose layers read their input through an explicit gather -> entries that the gather moves in one call of
        the model on the example.
    notes : dict of str to str
        Remarks of the trace and of the verification.
    share : float or None
        Share of the entries of all parameters of the model, vectors and lookup tables too, that stand in permuted
        columns; None in reports of earlier versions, which do not say it.
    """

    pattern: Pattern
    spec: Spec
    groups: tuple[GroupReport, ...]
    permuted_inputs: tuple[str, ...]
    coverage: float
    skipped: Mapping[str, str]
    value_before: float
    value_after: float
    max_relative_error: float | None = None
    outputs: Mapping[str, Mapping[int, list[int]]] = field(default_factory=dict)
    gathered: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    share: float | None = None

    def __post_init__(self) -> None:
        sizes = {group.name: group.size for group in self.spec.groups}
        for group in self.groups:
            if group.name not in sizes:
                raise InvalidSpecError(f"the report permutes group {group.name!r}, which its axis groups lack")
            check_permutation(group.permutation, sizes[group.name])

    def __repr__(self) -> str:
        gain = self.value_after / self.value_before - 1.0 if self.value_before > 0.0 else 0.0
        error = "not verified" if self.max_relative_error is None else f"error {self.max_relative_error:.1e}"
        share = "" if self.share is None else f" ({100 * self.share:.1f} % of all parameters)"
        return (
            f"Report({len(self.groups)} groups permuted, coverage {100 * self.coverage:.1f} %{share}, "
            f"{self.pattern} keeps {100 * gain:+.2f} %, {error})"
        )

    def permutations(self) -> dict[str, NDArray[np.int64]]:
        """Permutation of each group that was permuted."""
        return {group.name: group.permutation for group in self.groups}

    def table(self) -> str:
        """The groups, and what was skipped, as text in columns."""
        rows = [("group", "columns", "kept before", "kept after", "gain %", "axes")]
        for group in self.groups:
            gain = 100.0 * (group.value_after / group.value_before - 1.0) if group.value_before > 0.0 else 0.0
            axes = ", ".join(f"{name}[{axis}]" for name, axis in group.parameters[:3])
            more = len(group.parameters) - 3
            rows.append(
                (
                    group.name,
                    str(group.columns),
                    f"{group.value_before:.6g}",
                    f"{group.value_after:.6g}",
                    f"{gain:.2f}",
                    axes + (f" and {more} more" if more > 0 else ""),
                )
            )
        lines = aligned(rows)
        lines += [f"skipped {name}: {reason}" for name, reason in self.skipped.items()]
        lines += [f"gathered {name}: {size} entries moved per call" for name, size in self.gathered.items()]
        lines += [f"{name}: {note}" for name, note in self.notes.items()]
        return "\n".join([*lines, repr(self)])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; :meth:`from_dict` is its inverse."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "pattern": str(self.pattern),
            "coverage": self.coverage,
            "share": self.share,
            "value_before": self.value_before,
            "value_after": self.value_after,
            "max_relative_error": self.max_relative_error,
            "permuted_inputs": list(self.permuted_inputs),
            "skipped": dict(self.skipped),
            "outputs": {name: {str(k): v for k, v in axes.items()} for name, axes in self.outputs.items()},
            "gathered": dict(self.gathered),
            "notes": dict(self.notes),
            "groups": [
                {
                    "name": group.name,
                    "permutation": group.permutation.tolist(),
                    "value_before": group.value_before,
                    "value_after": group.value_after,
                    "result": None if group.result is None else group.result.to_dict(),
                }
                for group in self.groups
            ],
            "spec": self.spec.to_dict(),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Report":
        """Make a report of what :meth:`to_dict` gave.

        Raises
        ------
        FileFormatError
            When something is missing or has the wrong type.
        """
        with understanding(document, "a report", FORMAT, FORMAT_VERSION):
            spec = Spec.from_dict(document["spec"])
            known = {group.name: group for group in spec.groups}
            error, share = document["max_relative_error"], document.get("share")
            return cls(
                pattern=Pattern.parse(document["pattern"]),
                spec=spec,
                groups=tuple(_group(one, known) for one in document["groups"]),
                permuted_inputs=tuple(str(name) for name in document["permuted_inputs"]),
                coverage=float(document["coverage"]),
                skipped=dict(document["skipped"]),
                value_before=float(document["value_before"]),
                value_after=float(document["value_after"]),
                max_relative_error=None if error is None else float(error),
                outputs={name: {int(k): v for k, v in axes.items()} for name, axes in document["outputs"].items()},
                gathered=dict(document["gathered"]),
                notes=dict(document["notes"]),
                share=None if share is None else float(share),
            )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the report: ``.json`` (all as text) or ``.npz`` (permutations as arrays, the rest as JSON).

        The file appears whole or not at all; nothing is pickled.

        Raises
        ------
        FileFormatError
            When the name ends in neither.
        """
        write_document(Path(path), "report", self.to_dict(), _take_arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Report":
        """Read what :meth:`save` wrote.

        Raises
        ------
        FileFormatError
            When the file is no report.
        OSError
            When it cannot be read.
        """
        source = Path(path)
        with reading(source, "a report of a permuted network"):
            return cls.from_dict(read_document(source, "report", _put_arrays))


def _group(document: Mapping[str, Any], known: Mapping[str, AxisGroup]) -> GroupReport:
    group = known[str(document["name"])]
    return GroupReport(
        group.name,
        group.size,
        group.parameters,
        check_permutation(np.asarray(document["permutation"]), group.size),
        float(document["value_before"]),
        float(document["value_after"]),
        None if document["result"] is None else Result.from_dict(document["result"]),
    )


def _take_arrays(document: Document) -> dict[str, NDArray[Any]]:
    return {
        f"permutation{number}": np.asarray(group.pop("permutation"), np.int64)
        for number, group in enumerate(document["groups"])
    }


def _put_arrays(document: Document, arrays: Mapping[str, NDArray[Any]]) -> None:
    for number, group in enumerate(document["groups"]):
        group["permutation"] = arrays[f"permutation{number}"]
