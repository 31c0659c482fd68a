"""Moments of the inputs of all layers of a network."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.checks import require
from permsolve.errors import FileFormatError, InvalidSpecError
from permsolve.io.reading import reading
from permsolve.io.safetensors import SafetensorsFile
from permsolve.io.safetensors_stream import Pending, stream_safetensors
from permsolve.moments import InputMoments
from permsolve.networks.report import Report
from permsolve.networks.spec import INPUT_AXIS, AxisUse, Spec

FORMAT = "permsolve-calibration"
FORMAT_VERSION = 1
# Before the name of a weight, in a file: the norms of its columns.
_COLUMNS = "columns of "
# What a weight is made from: itself, or the one part of it under a mask or weight_norm that has its columns.
_SOURCES = (
    "{}",
    "{}_orig",
    "{}_v",
    "parametrizations.{}.original",
    "parametrizations.{}.original0",
    "parametrizations.{}.original1",
)


class Calibration(Mapping[str, InputMoments]):
    """Name of a weight (``layer.weight``) -> moments of what its layer reads; weights may share them.

    Parameters
    ----------
    moments : mapping of str to InputMoments
        The moments.
    missing : mapping of str to str, optional
        Weight whose layer was not reached -> why.
    columns : mapping of str to ndarray, optional
        Weight -> norms of its columns when it was calibrated, shape (groups, features): what tells whether another
        weight is meant, or another order.
    notes : mapping of str to str, optional
        Weight -> what is to be known of its moments: where padding could not be told apart, for instance.
    assumed : mapping of str to str, optional
        Weight that was not reached, and whose inputs are taken to be all alike -> why.
    """

    def __init__(
        self,
        moments: Mapping[str, InputMoments],
        missing: Mapping[str, str] | None = None,
        *,
        columns: Mapping[str, NDArray[np.float64]] | None = None,
        notes: Mapping[str, str] | None = None,
        assumed: Mapping[str, str] | None = None,
    ) -> None:
        self._moments = dict(moments)
        self.missing = dict(missing or {})
        self.columns = dict(columns or {})
        self.notes = dict(notes or {})
        self.assumed = dict(assumed or {})

    def __getitem__(self, name: str) -> InputMoments:
        return self._moments[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._moments)

    def __len__(self) -> int:
        return len(self._moments)

    def __repr__(self) -> str:
        shared = len({id(moments) for moments in self._moments.values()})
        kinds = {moments.full for moments in self._moments.values()}
        kind = "full" if kinds == {True} else "diagonal" if kinds == {False} else "full and diagonal"
        return (
            f"Calibration({len(self)} weights, {shared} different inputs, {kind if self else 'empty'}, "
            f"{len(self.missing)} missing)"
        )

    def assuming(self, moments: Mapping[str, InputMoments]) -> "Calibration":
        """The same with moments that are assumed for some of the weights that are missing."""
        missing = {name: reason for name, reason in self.missing.items() if name not in moments}
        return Calibration(
            {**self._moments, **moments},
            missing,
            columns=self.columns,
            notes=self.notes,
            assumed={**self.assumed, **{name: self.missing[name] for name in moments}},
        )

    def permuted(self, report: Report) -> "Calibration":
        """The moments of the model after :func:`permsolve.networks.permute_` (or ``apply_``) with a report.

        Parameters
        ----------
        report : Report
            What was permuted; weights that read through a gather follow the order that they read in.

        Raises
        ------
        InvalidSpecError
            When the moments do not fit the weights that the report names.
        InvalidOptionError
            When it is no report.
        """
        require(isinstance(report, Report), "report", "what permute_ returned", report)
        return self.reordered(report.spec, report.permutations())

    def reordered(self, spec: Spec, permutations: Mapping[str, NDArray[np.int64]]) -> "Calibration":
        """The moments after the groups of a spec were permuted; see :meth:`permuted`."""
        uses: dict[str, list[tuple[AxisUse, NDArray[np.int64]]]] = {}
        for group in spec.groups:
            for use in group.uses:
                if group.name in permutations and not use.values and not use.name.startswith("output:"):
                    for seen in use.in_matrix(spec.layout(use.name), spec.shapes[use.name]):
                        uses.setdefault(use.name, []).append((seen, permutations[group.name]))
        done: dict[tuple[Any, ...], InputMoments] = {}
        found, columns = {}, dict(self.columns)
        for name, moments in self._moments.items():
            steps = [
                _Step.of(name, use, permutation, spec.layout(owner).shape(spec.shapes[owner]), moments)
                for owner in _owners(name, spec)
                for use, permutation in uses.get(owner, ())
                if use.axis == INPUT_AXIS or (use.axis == 0 and moments.groups > 1)
            ]
            key = (id(moments), *((step.order.tobytes(), step.kernel, step.groups) for step in steps))
            if key not in done:
                for step in steps:
                    moments = step.apply(moments)
                done[key] = moments
            found[name] = done[key]
            if steps and name in columns:
                norms = InputMoments(columns[name])
                for step in steps:
                    norms = step.apply(norms)
                columns[name] = norms.mean_square
        return Calibration(found, self.missing, columns=columns, notes=self.notes, assumed=self.assumed)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a ``.safetensors`` file; shared moments are stored once, and the file appears whole or not at all.

        Raises
        ------
        FileFormatError
            When the name ends otherwise.
        OSError
            When the file cannot be written.
        """
        target = Path(path)
        if target.suffix.lower() != ".safetensors":
            raise FileFormatError(f"cannot write a calibration to {target.name!r}: name it .safetensors")
        tensors: dict[str, Pending] = {}
        numbers: dict[int, int] = {}
        samples: list[int] = []
        for moments in self._moments.values():
            if id(moments) not in numbers:
                number = numbers[id(moments)] = len(numbers)
                samples.append(moments.samples)
                means, shape = moments.mean_square, (moments.groups, moments.features, moments.features)
                tensors[f"{number}.mean_square"] = Pending(means.dtype, means.shape, partial(np.asarray, means))
                if moments.full:
                    tensors[f"{number}.second_moment"] = Pending(moments.dtype, shape, partial(_second, moments))
        for name, norms in self.columns.items():
            tensors[f"{_COLUMNS}{name}"] = Pending(norms.dtype, norms.shape, partial(np.asarray, norms))
        document = {
            "inputs": {name: numbers[id(moments)] for name, moments in self._moments.items()},
            "samples": samples,
            "missing": self.missing,
            "notes": self.notes,
        }
        metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "calibration": json.dumps(document)}
        stream_safetensors(target, tensors, metadata)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Calibration":
        """Read what :meth:`save` wrote; second moments stay in the file, and are mapped.

        Raises
        ------
        FileFormatError
            When the file is no calibration, or a damaged one.
        OSError
            When it cannot be read.
        """
        source = Path(path)
        file = SafetensorsFile(source)
        with reading(source, "a calibration"):
            if (file.metadata.get("format"), file.metadata.get("format_version")) != (FORMAT, str(FORMAT_VERSION)):
                raise FileFormatError(f"not a calibration of format version {FORMAT_VERSION}")
            document = json.loads(file.metadata["calibration"])
            names = {info.name for info in file.tensors()}
            inputs = [
                InputMoments(
                    file.read(f"{number}.mean_square"),
                    file.read(second) if (second := f"{number}.second_moment") in names else None,
                    int(samples),
                )
                for number, samples in enumerate(document["samples"])
            ]
            return cls(
                {str(name): inputs[int(number)] for name, number in document["inputs"].items()},
                {str(name): str(reason) for name, reason in document["missing"].items()},
                columns={name.removeprefix(_COLUMNS): file.read(name) for name in names if name.startswith(_COLUMNS)},
                notes={str(name): str(note) for name, note in document.get("notes", {}).items()},
            )


def _second(moments: InputMoments) -> NDArray[Any]:
    second = moments.second_moment
    assert second is not None
    return second


def _owners(name: str, spec: Spec) -> dict[str, None]:
    """The tensors whose columns are those of a weight, by the names of a spec."""
    layer, dot, attribute = name.rpartition(".")
    names = [f"{layer}{dot}{source.format(attribute)}" for source in _SOURCES]
    return dict.fromkeys(spec.aliases.get(one, one) for one in names)


@dataclass(frozen=True, slots=True)
class _Step:
    """What re-ordering one axis of a weight does to its moments.

    Attributes
    ----------
    order : ndarray of int64
        Index along the channels of some groups of the convolution; or along its groups, which move where the
        outputs of a depthwise convolution do.
    kernel : int
        Places of the kernel.
    groups : tuple of int or None
        The groups whose channels are re-ordered, None when the groups themselves are.
    """

    order: NDArray[np.int64]
    kernel: int
    groups: tuple[int, ...] | None

    @classmethod
    def of(
        cls, name: str, use: AxisUse, permutation: NDArray[np.int64], shape: tuple[int, ...], moments: InputMoments
    ) -> "_Step":
        rows, width = shape[:2]
        if int(np.prod(shape[1:])) != moments.features or rows % moments.groups:
            raise InvalidSpecError(
                f"{name}: moments of {moments.features} features do not fit a weight of shape {shape}"
            )
        order, each = use.order(permutation, shape[use.axis]), rows // moments.groups
        if use.axis != INPUT_AXIS:
            sources = order.reshape(moments.groups, each) // each
            if (sources != sources[:, :1]).any():
                raise InvalidSpecError(f"{name}: its rows move between groups of the convolution")
            return cls(sources[:, 0], 1, None)
        start, stop = (0, rows) if use.rows is None else use.rows
        if start % each or stop % each:
            raise InvalidSpecError(f"{name}: rows {(start, stop)} are no whole groups of {each} rows")
        return cls(order, moments.features // width, tuple(range(start // each, stop // each)))

    def apply(self, moments: InputMoments) -> InputMoments:
        if self.groups is None:
            return moments.regrouped(self.order)
        return moments.permuted(self.order, self.kernel, self.groups)
