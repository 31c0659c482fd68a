"""Moments of the inputs of all layers of a network."""

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import FileFormatError, InvalidSpecError
from permsolve.io.reading import reading
from permsolve.io.safetensors import SafetensorsFile
from permsolve.io.tensors_out import write_tensors
from permsolve.moments import InputMoments
from permsolve.networks.report import Report
from permsolve.networks.spec import INPUT_AXIS, AxisUse, Spec

FORMAT = "permsolve-calibration"
FORMAT_VERSION = 1
# What a weight is made from: itself, or the one part of it under a mask or weight_norm that has its columns.
_SOURCES = (
    "weight",
    "weight_orig",
    "weight_v",
    "parametrizations.weight.original",
    "parametrizations.weight.original0",
    "parametrizations.weight.original1",
)


class Calibration(Mapping[str, InputMoments]):
    """Name of a weight (``layer.weight``) -> moments of what its layer reads; weights may share them.

    Parameters
    ----------
    moments : mapping of str to InputMoments
        The moments.
    missing : mapping of str to str, optional
        Weight whose layer was not reached -> why.
    """

    def __init__(self, moments: Mapping[str, InputMoments], missing: Mapping[str, str] | None = None) -> None:
        self._moments = dict(moments)
        self.missing = dict(missing or {})

    def __getitem__(self, name: str) -> InputMoments:
        return self._moments[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._moments)

    def __len__(self) -> int:
        return len(self._moments)

    def __repr__(self) -> str:
        shared = len({id(moments) for moments in self._moments.values()})
        kinds = {moments.second_moment is None for moments in self._moments.values()}
        kind = "diagonal" if kinds == {True} else "full" if kinds == {False} else "full and diagonal"
        return (
            f"Calibration({len(self)} weights, {shared} different inputs, {kind if self else 'empty'}, "
            f"{len(self.missing)} missing)"
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
        """
        return self.reordered(report.spec, report.permutations())

    def reordered(self, spec: Spec, permutations: Mapping[str, NDArray[np.int64]]) -> "Calibration":
        """The moments after the groups of a spec were permuted; see :meth:`permuted`."""
        uses: dict[str, list[tuple[AxisUse, NDArray[np.int64]]]] = {}
        for group in spec.groups:
            for use in group.uses:
                if group.name in permutations and use.axis == INPUT_AXIS and not use.values:
                    uses.setdefault(use.name, []).append((use, permutations[group.name]))
        done: dict[tuple[Any, ...], InputMoments] = {}
        found = {}
        for name, moments in self._moments.items():
            key: tuple[Any, ...] = (id(moments),)
            steps = []
            for owner in _owners(name, spec):
                for use, permutation in uses.get(owner, ()):
                    rows, width = spec.shapes[owner][:2]
                    order = use.order(permutation, width)
                    groups = _groups(name, use.rows, rows, moments, spec.shapes[owner])
                    steps.append((order, moments.features // width, groups))
                    key = (*key, order.tobytes(), groups)
            if key not in done:
                for order, kernel, groups in steps:
                    moments = moments.permuted(order, kernel, groups)
                done[key] = moments
            found[name] = done[key]
        return Calibration(found, self.missing)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a ``.safetensors`` file; shared moments are stored once, and the file appears whole or not at all.

        Raises
        ------
        FileFormatError
            When the name ends otherwise.
        """
        target = Path(path)
        if target.suffix.lower() != ".safetensors":
            raise FileFormatError(f"cannot write a calibration to {target.name!r}: name it .safetensors")
        tensors: dict[str, NDArray[Any]] = {}
        numbers: dict[int, int] = {}
        samples: list[int] = []
        for moments in self._moments.values():
            if id(moments) not in numbers:
                number = numbers[id(moments)] = len(numbers)
                samples.append(moments.samples)
                tensors[f"{number}.mean_square"] = moments.mean_square
                if moments.second_moment is not None:
                    tensors[f"{number}.second_moment"] = moments.second_moment
        document = {
            "inputs": {name: numbers[id(moments)] for name, moments in self._moments.items()},
            "samples": samples,
            "missing": self.missing,
        }
        metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "calibration": json.dumps(document)}
        write_tensors(target, tensors, metadata)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Calibration":
        """Read what :meth:`save` wrote.

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
            )


def _owners(name: str, spec: Spec) -> dict[str, None]:
    """The tensors whose columns are those of a weight, by the names of a spec."""
    prefix = name.removesuffix("weight")
    names = [f"{prefix}{source}" for source in _SOURCES]
    return dict.fromkeys(spec.aliases.get(one, one) for one in names)


def _groups(
    name: str, rows: tuple[int, int] | None, total: int, moments: InputMoments, shape: tuple[int, ...]
) -> tuple[int, ...]:
    """The groups of a convolution that some rows of its weight are."""
    if int(np.prod(shape[1:])) != moments.features or total % moments.groups:
        raise InvalidSpecError(f"{name}: moments of {moments.features} features do not fit a weight of shape {shape}")
    start, stop = (0, total) if rows is None else rows
    each = total // moments.groups
    if start % each or stop % each:
        raise InvalidSpecError(f"{name}: rows {(start, stop)} are no whole groups of {each} rows")
    return tuple(range(start // each, stop // each))
