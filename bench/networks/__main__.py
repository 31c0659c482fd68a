"""One-shot pruning of trained networks in both orders: ``python -m bench.networks --data FOLDER --cache FOLDER``."""

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.failing import failing
from bench.instances.errors import unknown
from bench.networks.accuracy import Row, measure
from permsolve.io.writing import atomic_write

NAMES = ("cifar-conv", "char-transformer")


def markdown(rows: Sequence[Row]) -> str:
    """A line per network: mean over the seeds, and in brackets the least and the largest."""
    lines = [
        "| network | seeds | kept, given order % | kept, permuted % "
        "| accuracy dense % | pruned, given | pruned, permuted | loss dense | pruned, given | pruned, permuted |",
        "|" + "---|" * 10,
    ]
    for name in dict.fromkeys(row.network for row in rows):
        mine = [row for row in rows if row.network == name]
        cells = [name, str(len(mine))]
        cells += [_spread([100 * getattr(row, part) for row in mine], 2) for part in ("kept_given", "kept_permuted")]
        for kind, scale, digits in (("accuracy", 100.0, 1), ("loss", 1.0, 3)):
            for state in ("dense", "given", "permuted"):
                cells.append(_spread([scale * getattr(row, f"{state}_{kind}") for row in mine], digits))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(numbers: Sequence[float], digits: int) -> str:
    low, high = min(numbers), max(numbers)
    return f"{statistics.mean(numbers):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds cifar10/ and tinyshakespeare/.")],
    cache: Annotated[Path, typer.Option(envvar="PERMSOLVE_BENCH_CACHE", help="Folder of trained networks.")],
    network: Annotated[list[str] | None, typer.Option(help=f"May be repeated: {', '.join(NAMES)}.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of training seeds.")] = 3,
    pattern: str = "2:4",
    solver: str = "auto",
    time_limit: Annotated[float, typer.Option(help="Seconds of search for a whole network.")] = 60.0,
    workers: int = 2,
    out: Annotated[Path | None, typer.Option(help="Write all rows to this JSON file.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the table to this Markdown file.")] = None,
) -> None:
    """Print kept magnitude, accuracy and loss of trained networks, pruned in the given order and permuted."""
    rows = []
    with failing():
        for name in network or NAMES:
            if name not in NAMES:
                raise unknown("network", name, NAMES)
            for seed in range(seeds):
                rows.append(
                    measure(
                        name,
                        seed,
                        data,
                        cache,
                        pattern=pattern,
                        solver=solver,
                        time_limit=time_limit,
                        workers=workers,
                    )
                )
                print(json.dumps(asdict(rows[-1])), file=sys.stderr)
                if out is not None:  # after every network: the next may take minutes
                    text = json.dumps([asdict(row) for row in rows], indent=1) + "\n"
                    atomic_write(out, lambda stream, text=text: stream.write(text.encode()))  # type: ignore[misc]
    text = markdown(rows)
    print(text, end="")
    if table is not None:
        atomic_write(table, lambda stream: stream.write(text.encode()))


if __name__ == "__main__":
    typer.run(main)
