"""``python -m bench.gpu --out DIR``: every measurement that needs a GPU, as rows and as tables.

Each part has a folder and a process of its own: what goes wrong on a GPU often takes all that the process does next
with it. ``--part host`` measures on any machine what such a search leaves to the processor.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.failing import FAILED, failing
from bench.gpu.document import markdown
from bench.gpu.machine import gpu, processor
from bench.instances.errors import unknown
from permsolve.io.writing import atomic_write

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ON_GPU = ("exchange", "blocks", "search", "network")
# Needs no GPU, and is measured when asked for.
HOST = "host"
PARTS = (*ON_GPU, HOST)


def rows_of(part: str) -> Iterator["DataclassInstance"]:
    """The measurements of one part, at their full sizes."""
    if part == "exchange":
        from bench.gpu.exchange import measure_exchange

        for columns, rows in ((1024, 4096), (4096, 4096), (11008, 4096)):
            yield measure_exchange(columns, rows)
    elif part == "search":
        from bench.gpu.search import measure_search

        for columns, rows in ((4096, 4096), (11008, 4096)):
            measure_search(256, 64, 1.0)  # compiles
            yield measure_search(columns, rows, 20.0)
    elif part == "network":
        from bench.gpu.network import Shape, measure_network

        yield from measure_network(Shape())
    elif part == HOST:
        from bench.gpu.stand_in import measure_host

        for columns, rows in ((1024, 1024), (4096, 4096), (11008, 4096), (4096, 34304)):
            yield measure_host(columns, rows)
    else:
        from bench.gpu.blocks import LlamaBlock, measure_block, vit_mlp

        for tokens in (2048, 8192):
            yield measure_block("LLaMA-2-7B block", LlamaBlock, 4096, tokens)
            yield measure_block("ViT-L MLP", vit_mlp, 1024, tokens)


def main(
    out: Annotated[Path, typer.Option(help="Folder for gpu.jsonl and gpu.md, or for one folder with them a part.")],
    part: Annotated[list[str] | None, typer.Option(help=f"May be repeated: {', '.join(PARTS)}; all but host.")] = None,
) -> None:
    """Measure on the GPU of this machine; what is finished is written at once."""
    with failing():
        for name in part or ():
            if name not in PARTS:
                raise unknown("part", name, PARTS)
        parts = part or list(ON_GPU)
        machine = gpu() if set(parts) & set(ON_GPU) else processor()
        if len(parts) == 1:
            _measure(parts[0], machine, out)
        elif failed := [name for name in parts if _alone(name, out / name) != 0]:
            print(f"bench: error: {' and '.join(failed)} failed; what the others found is in {out}", file=sys.stderr)
            raise typer.Exit(FAILED)


def _alone(part: str, out: Path) -> int:
    """Measure a part in a process of its own; its exit status."""
    return subprocess.run([sys.executable, "-m", "bench.gpu", "--out", out, "--part", part], check=False).returncode


def _measure(part: str, machine: dict[str, str], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    found: list[DataclassInstance] = []
    for row in rows_of(part):
        found.append(row)
        print(row, file=sys.stderr)
        documents: list[dict[str, Any]] = [{"kind": "machine", **machine}]
        documents += [{"kind": type(one).__name__, **asdict(one)} for one in found]
        _write(out / "gpu.jsonl", "".join(json.dumps(one) + "\n" for one in documents))
        _write(out / "gpu.md", markdown(machine, found, f"python -m bench.gpu --out DIR --part {part}"))
    print((out / "gpu.md").read_text(), end="")


def _write(path: Path, text: str) -> None:
    atomic_write(path, lambda stream: stream.write(text.encode()))


if __name__ == "__main__":
    typer.run(main)
