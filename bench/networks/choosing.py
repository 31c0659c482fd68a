"""Choosing among permutations by the error of the layers: ``python -m bench.networks.choosing --data FOLDER ...``.

A layer's error on what it reads in the dense network depends on the order of its own inputs only, so several good
permutations of the same network can be taken apart, and the best be chosen for every axis group.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated

import typer
from torch import nn

from bench.cli.failing import failing
from bench.instances.errors import unknown
from bench.networks.accuracy import FIRST_LAYERS
from bench.networks.calibrated import NETWORKS, prepared
from bench.runner.journal import Journal, read_rows
from bench.runner.row import FORMAT
from bench.train.networks import evaluate, load_data
from permsolve import networks
from permsolve.io.writing import atomic_write
from permsolve.networks.pruning.masks import Masks
from permsolve.networks.spec import INPUT_AXIS

SALIENCY = "obs"
CHOICES = ("first", "most score", "least error", "most error")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A network in one order, pruned and fitted.

    Attributes
    ----------
    kept : float
        Saliency that the pattern keeps.
    layer_error : float
        Mean over the layers of their error after fitting, as a share of their outputs.
    loss, accuracy : float
        On the held-out data.
    """

    kept: float
    layer_error: float
    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One permutation of a network, and what becomes of the layers with it."""

    report: networks.Report
    errors: dict[str, float]


def measure(
    name: str,
    seed: int,
    pattern: str,
    update: str,
    count: int,
    data: Path,
    cache: Path,
    time_limit: float,
    workers: int,
) -> dict[str, Outcome]:
    """Solve a network several times, and choose for each axis group in several ways.

    Parameters
    ----------
    name, seed, data, cache
        Of the trained network, as for :func:`bench.networks.calibrated.measure_calibrated`.
    pattern, update
        What it is pruned to, and how kept weights are fitted.
    count : int
        Number of permutations, solver seeds 0 ... count - 1.
    time_limit, workers
        Of each.

    Returns
    -------
    dict of str to Outcome
        By choice: the ``first`` permutation as it is; for each group that which keeps ``most score``, which leaves the
        ``least error`` in the layers that read the group, and as a check, ``most error``.
    """
    dense = prepared(name, seed, data, cache)
    example = next(iter(load_data(name, data).unseen(4)))[0]

    def pruned(model: nn.Module, report: networks.Report) -> Masks:
        return networks.prune_(
            model, pattern, saliency=SALIENCY, exclude=FIRST_LAYERS[name], update=update,
            calibration=dense.calibration.permuted(report),
        )  # fmt: skip

    found = []
    for number in range(count):
        model = deepcopy(dense.model)
        report = networks.permute_(
            model, (example,), pattern, saliency=SALIENCY, calibration=dense.calibration, exclude=FIRST_LAYERS[name],
            seed=number, time_limit=time_limit, workers=workers,
        )  # fmt: skip
        errors = pruned(model, report).errors
        found.append(_Candidate(report, {layer: error.updated for layer, error in errors.items()}))
    rules: Mapping[str, Callable[[_Candidate, str], float]] = {
        "first": lambda candidate, _: float(candidate is found[0]),
        "most score": lambda candidate, group: _group(candidate.report, group).value_after,
        "least error": lambda candidate, group: -_error(candidate, group),
        "most error": _error,
    }
    outcomes = {}
    for choice in CHOICES:
        report = _combined(found, rules[choice])
        model = networks.apply_(deepcopy(dense.model), report)
        masks = pruned(model, report)
        networks.finalize_(model)
        score = evaluate(model, name, data)
        outcomes[choice] = Outcome(
            sum(group.value_after for group in report.groups), mean(error.updated for error in masks.errors.values()),
            score.loss, score.accuracy,
        )  # fmt: skip
    return outcomes


def _group(report: networks.Report, name: str) -> networks.GroupReport:
    return next(group for group in report.groups if group.name == name)


def _error(candidate: _Candidate, name: str) -> float:
    """Sum of the errors of the layers that read a group."""
    group = next(group for group in candidate.report.spec.groups if group.name == name)
    readers = dict.fromkeys(use.name for use in group.uses if use.axis == INPUT_AXIS)
    return sum(candidate.errors[reader] for reader in readers if reader in candidate.errors)


def _combined(found: Sequence[_Candidate], worth: Callable[[_Candidate, str], float]) -> networks.Report:
    """The permutation that takes each group from where it is worth the most."""
    shared = set.intersection(*({group.name for group in candidate.report.groups} for candidate in found))
    groups = [
        _group(max(found, key=lambda candidate, name=group.name: worth(candidate, name)).report, group.name)  # type: ignore[misc]
        for group in found[0].report.groups
        if group.name in shared
    ]
    return replace(found[0].report, groups=tuple(groups))


def main(
    data: Annotated[Path, typer.Option(help="Folder of data sets.")],
    cache: Annotated[Path, typer.Option(envvar="PERMSOLVE_BENCH_CACHE", help="Folder of trained networks.")],
    out: Annotated[Path, typer.Option(help="JSON lines: rows that are there are kept, and not measured again.")],
    network: Annotated[list[str] | None, typer.Option(help=f"May be repeated: {', '.join(NETWORKS)}.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of training seeds.")] = 3,
    pattern: str = "2:4",
    update: Annotated[str, typer.Option(help="obs or exchange.")] = "obs",
    count: Annotated[int, typer.Option(min=2, help="Permutations to choose from.")] = 8,
    time_limit: Annotated[float, typer.Option(help="Seconds of search for each, for a whole network.")] = 10.0,
    workers: int = 2,
    table: Annotated[Path | None, typer.Option(help="Write a table of all rows to this Markdown file.")] = None,
) -> None:
    """Measure what is gained when permutations are chosen by the error that they leave instead of by score."""
    with failing(), Journal(out) as journal:
        for name in network or NETWORKS:
            if name not in NETWORKS:
                raise unknown("network", name, NETWORKS)
            for seed in range(seeds):
                key = f"{name}/{seed}/{pattern}/{update}/{count}"
                if key in journal.rows:
                    continue
                outcomes = measure(name, seed, pattern, update, count, data, cache, time_limit, workers)
                print(f"{key}: {outcomes}", file=sys.stderr)
                row = {"format": FORMAT, "kind": "choosing", "key": key, "time_limit": time_limit}
                journal.append(row | {"outcomes": {choice: asdict(one) for choice, one in outcomes.items()}})
    text = markdown(read(out))
    print(text, end="")
    if table is not None:
        atomic_write(table, lambda stream: stream.write(text.encode()))


def read(path: Path) -> dict[str, dict[str, Outcome]]:
    """Outcomes by choice, by key."""
    return {
        record["key"]: {choice: Outcome(**one) for choice, one in record["outcomes"].items()}
        for record in read_rows(path)
    }


def markdown(rows: Mapping[str, Mapping[str, Outcome]]) -> str:
    """A table: each choice, relative to the first permutation, means over the trainings."""
    parts = [
        "# Choosing among permutations by the error that they leave\n",
        "Made by `python -m bench.networks.choosing`. A network is permuted several times for its `obs` scores, with "
        "different seeds; one permutation is chosen for every axis group: that of the first run, that which keeps the "
        "most score, that which leaves the least (and the most) error in the layers that read the group, all after "
        "fitting. Differences from the first, mean of the trainings +- standard error; loss in nats.\n",
        "| network | pattern | update | permutations | trainings | choice | score kept % | layer error % | loss |",
        f"|{9 * '---|'}",
    ]
    by_setting: dict[tuple[str, ...], list[Mapping[str, Outcome]]] = {}
    for key, row in rows.items():
        name, _, *rest = key.split("/")
        by_setting.setdefault((name, *rest), []).append(row)
    for setting, chosen in by_setting.items():
        for choice in CHOICES[1:]:
            pairs = [(row["first"], row[choice]) for row in chosen]
            cells = (
                *setting, str(len(chosen)), choice,
                _change([100.0 * (other.kept / one.kept - 1.0) for one, other in pairs], 3),
                _change([100.0 * (other.layer_error / one.layer_error - 1.0) for one, other in pairs], 2),
                _change([other.loss - one.loss for one, other in pairs], 4),
            )  # fmt: skip
            parts.append(f"| {' | '.join(cells)} |")
    return "\n".join([*parts, ""])


def _change(numbers: Sequence[float], digits: int) -> str:
    text = f"{mean(numbers):+.{digits}f}"
    return text if len(numbers) == 1 else f"{text} +- {stdev(numbers) / len(numbers) ** 0.5:.{digits}f}"


if __name__ == "__main__":
    typer.run(main)
