"""One-shot pruning of trained networks in both orders: ``python -m bench.networks --data FOLDER --cache FOLDER``."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.failing import failing
from bench.instances.errors import unknown
from bench.networks.accuracy import FIRST_LAYERS, Row, measure
from bench.networks.document import markdown
from permsolve.io.writing import atomic_write

NAMES = ("cifar-conv", "char-transformer")


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds cifar10/ and tinyshakespeare/.")],
    cache: Annotated[Path, typer.Option(envvar="PERMSOLVE_BENCH_CACHE", help="Folder of trained networks.")],
    network: Annotated[list[str] | None, typer.Option(help=f"May be repeated: {', '.join(FIRST_LAYERS)}.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of training seeds.")] = 3,
    pattern: str = "2:4",
    solver: str = "auto",
    time_limit: Annotated[float, typer.Option(help="Seconds of search for a whole network.")] = 60.0,
    workers: int = 2,
    out: Annotated[Path | None, typer.Option(help="Write all rows to this JSON file.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the report to this Markdown file.")] = None,
) -> None:
    """Print kept magnitude, accuracy and loss of trained networks, pruned in the given order and permuted."""
    rows: list[Row] = []
    with failing():
        for name in network or NAMES:
            if name not in FIRST_LAYERS:
                raise unknown("network", name, FIRST_LAYERS)
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
