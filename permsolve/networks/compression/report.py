"""What compressing a network did."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from permsolve.errors import FileFormatError
from permsolve.io.documents import json_text
from permsolve.io.writing import atomic_write
from permsolve.networks.compression.recipe import Recipe
from permsolve.networks.pruning.update import LayerError
from permsolve.networks.report import Report
from permsolve.networks.table import aligned
from permsolve.pattern import Pattern

FORMAT = "permsolve-compression-report"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class CompressionReport:
    """What :func:`permsolve.networks.compress_` did.

    Attributes
    ----------
    pattern : Pattern
        What the weights follow now.
    recipe : Recipe
        How it was done.
    permutation : Report or None
        What was permuted, verified to leave the function as it was; None without a permutation.
    layers : dict of str to LayerError
        Weight -> by how much the outputs of its layer changed on the calibration data: with the kept weights as they
        were, and as they are.
    output_error : float or None
        Mean square of the change of the outputs on the example inputs, as a share of theirs, over all entries of
        floating point that are finite before and after. None where there are none, or where all were zero and are
        not any more.
    notes : dict of str to str
        Weight -> what is to be known of how it was calibrated and pruned: that no calibration data reached it, say.
        ``"outputs"`` -> how many entries ``output_error`` leaves out since they became finite or ceased to be.
    skipped : dict of str to str
        Matrix (parameter with two or more axes) that is not pruned -> why.
    share : float
        Share of the entries of all parameters of the model, vectors and lookup tables too, in weights that are pruned.
    """

    pattern: Pattern
    recipe: Recipe
    permutation: Report | None
    layers: Mapping[str, LayerError]
    output_error: float | None
    notes: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    share: float = 0.0

    def __repr__(self) -> str:
        coverage = "not permuted" if self.permutation is None else f"coverage {100 * self.permutation.coverage:.1f} %"
        return (
            f"CompressionReport({len(self.layers)} weights {self.pattern}, {100 * self.share:.1f} % of all "
            f"parameters, saliency {self.recipe.saliency}, "
            f"{coverage}, {self._change()})"
        )

    def _change(self) -> str:
        if self.output_error is None:
            return "no outputs whose change has a size"
        return f"outputs change by {100 * self.output_error:.3g} %"

    def table(self) -> str:
        """The layers as text in columns."""
        rows = [("weight", "error masked %", "error %")]
        for name, error in self.layers.items():
            rows.append((name, f"{100 * error.masked:.3f}", f"{100 * error.updated:.3f}"))
        notes = [f"{name}: {note}" for name, note in self.notes.items()]
        skipped = [f"not pruned {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join([*aligned(rows), *notes, *skipped, repr(self)])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "pattern": str(self.pattern),
            "recipe": asdict(self.recipe),
            "permutation": None if self.permutation is None else self.permutation.to_dict(),
            "layers": {name: asdict(error) for name, error in self.layers.items()},
            "output_error": self.output_error,
            "notes": dict(self.notes),
            "skipped": dict(self.skipped),
            "share": self.share,
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Write the report as ``.json``; the file appears whole or not at all.

        Raises
        ------
        FileFormatError
            When the name ends otherwise.
        """
        target = Path(path)
        if target.suffix.lower() != ".json":
            raise FileFormatError(f"cannot write a report to {target.name!r}: name it .json")
        text = json_text(self.to_dict(), indent=1) + "\n"
        atomic_write(target, lambda stream: stream.write(text.encode()))
