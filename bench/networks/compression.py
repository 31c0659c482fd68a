"""Calibrated pruning of trained networks: ``python -m bench.networks.compression --data FOLDER --cache FOLDER``."""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.failing import failing
from bench.instances.errors import unknown
from bench.networks.calibrated import (
    BATCH,
    BATCHES,
    NETWORKS,
    ORDERS,
    SALIENCIES,
    UPDATES,
    CalibratedRow,
    Case,
    cases,
    measure_calibrated,
)
from bench.runner.journal import Journal, read_rows
from bench.runner.row import FORMAT
from permsolve.io.writing import atomic_write

Choices = list[str] | None


def main(
    data: Annotated[Path, typer.Option(help="Folder of data sets.")],
    cache: Annotated[Path, typer.Option(envvar="PERMSOLVE_BENCH_CACHE", help="Folder of trained networks.")],
    out: Annotated[Path, typer.Option(help="JSON lines: rows that are there are kept, and not measured again.")],
    network: Annotated[Choices, typer.Option(help=f"May be repeated: {', '.join(NETWORKS)}.")] = None,
    saliency: Annotated[Choices, typer.Option(help=f"May be repeated: {', '.join(SALIENCIES)}.")] = None,
    order: Annotated[Choices, typer.Option(help=f"May be repeated: {', '.join(ORDERS)}.")] = None,
    update: Annotated[Choices, typer.Option(help=f"May be repeated: {', '.join(UPDATES)}.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of training seeds.")] = 3,
    pattern: str = "2:4",
    time_limit: Annotated[float, typer.Option(help="Seconds of search for a whole network.")] = 10.0,
    workers: int = 2,
    table: Annotated[Path | None, typer.Option(help="Write a table of all rows to this Markdown file.")] = None,
) -> None:
    """Measure every combination of network, seed, saliency, order and update, and print a table."""
    with failing():
        for kind, chosen, known in (
            ("network", network, NETWORKS),
            ("saliency", saliency, SALIENCIES),
            ("order", order, ORDERS),
            ("update", update, UPDATES),
        ):
            for name in chosen or ():
                if name not in known:
                    raise unknown(kind, name, known)
        grid = cases(network or NETWORKS, seeds, pattern, saliency or SALIENCIES, order or ORDERS, update or UPDATES)
        with Journal(out) as journal:
            for case in grid:
                if key(case) not in journal.rows:
                    row = measure_calibrated(case, data, cache, time_limit, workers)
                    print(f"{key(case)}: loss {row.loss:.4f}, accuracy {row.accuracy:.4f}", file=sys.stderr)
                    journal.append({"format": FORMAT, "kind": "compression", "key": key(case), **asdict(row)})
    text = markdown(read(out))
    print(text, end="")
    if table is not None:
        atomic_write(table, lambda stream: stream.write(text.encode()))


def key(case: Case) -> str:
    """What a row is found by."""
    return "/".join(str(part) for part in asdict(case).values())


def read(path: Path) -> list[CalibratedRow]:
    """The rows of a file.

    Raises
    ------
    FileFormatError
        When a line is no row.
    """
    names = [field.name for field in fields(CalibratedRow) if field.name != "case"]
    return [
        CalibratedRow(Case(**record["case"]), **{name: record[name] for name in names}) for record in read_rows(path)
    ]


def markdown(rows: Sequence[CalibratedRow]) -> str:
    """A table per network and pattern: means over the seeds, with the standard deviation where there are several."""
    limits = ", ".join(sorted({f"{row.time_limit:g}" for row in rows}))
    parts = [
        "# Calibrated pruning of trained networks\n",
        f"Made by `python -m bench.networks.compression`: {limits} s of search for a whole network, {BATCHES} batches "
        f"of {BATCH} training examples to calibrate with, nothing is trained after pruning, and layers that read the "
        "data are not pruned. Mean of the trainings +- standard deviation. The layer error is the mean over layers of "
        "the mean square by which their outputs change, as a share of theirs; loss (nats) and accuracy are those on "
        "held-out data.\n",
    ]
    for name, pattern in dict.fromkeys((row.case.network, row.case.pattern) for row in rows):
        chosen = [row for row in rows if (row.case.network, row.case.pattern) == (name, pattern)]
        dense = {row.case.seed: row for row in chosen}.values()
        parts.append(
            f"## {name}, {pattern}\n\nDense: loss {_spread([row.dense_loss for row in dense], 4)}, accuracy "
            f"{_spread([100 * row.dense_accuracy for row in dense], 2)} %; {len(dense)} trainings.\n\n"
            "| saliency | order | update | score kept % | layer error % | loss | accuracy % |\n"
            f"|{7 * '---|'}"
        )
        combinations = dict.fromkeys((row.case.saliency, row.case.order, row.case.update) for row in chosen)
        for combination in combinations:
            same = [row for row in chosen if (row.case.saliency, row.case.order, row.case.update) == combination]
            cells = (
                *combination,
                _spread([100 * row.kept for row in same], 2),
                _spread([100 * row.layer_error for row in same], 3),
                _spread([row.loss for row in same], 4),
                _spread([100 * row.accuracy for row in same], 2),
            )
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def _spread(numbers: Sequence[float], digits: int) -> str:
    text = f"{statistics.mean(numbers):.{digits}f}"
    return text if len(numbers) == 1 else f"{text} +- {statistics.stdev(numbers):.{digits}f}"


if __name__ == "__main__":
    typer.run(main)
