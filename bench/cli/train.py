"""``python -m bench train``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.cli.failing import failing
from bench.instances.errors import unknown
from bench.instances.trained import CACHE_VARIABLE
from bench.train.cache import Manifest
from bench.train.catalogue import NETWORKS
from permsolve.cli.console import console


def _train(name: str, data: Path, cache: Path, again: bool, progress: Progress) -> Manifest:
    from bench.train.networks import get_network
    from bench.train.training import train

    steps = get_network(name).recipe.steps
    task = progress.add_task(name, total=steps, loss="")

    def on_step(step: int, loss: float) -> None:
        progress.update(task, completed=step + 1, loss=f"loss {loss:.3f}")

    manifest = train(name, data, cache, again, on_step)
    progress.update(task, completed=steps)
    return manifest


def train(
    data: Annotated[Path, typer.Option(help="Folder that holds fashion-mnist/, cifar10/ and tinyshakespeare/.")],
    cache: Annotated[
        Path, typer.Option(envvar=CACHE_VARIABLE, help="Folder for the trained networks; made when missing.")
    ],
    network: Annotated[list[str] | None, typer.Option(help=f"May be repeated: {', '.join(NETWORKS)}.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Train even what the cache holds.")] = False,
) -> None:
    """Train networks on one CPU core, some minutes each, and keep their weights; what is there already is reused."""
    names = network or list(NETWORKS)
    table = Table("network", "accuracy", "loss", "trained in", "sha256")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, TextColumn("{task.fields[loss]}"), console=Console(stderr=True))
    with failing(), progress:
        for name in names:
            if name not in NETWORKS:
                raise unknown("network", name, NETWORKS)
            known = _train(name, data, cache, again, progress)
            accuracy, loss = f"{100 * known.accuracy:.1f} %", f"{known.loss:.3f} nats"
            table.add_row(name, accuracy, loss, f"{known.seconds:.0f} s", known.sha256[:16])
    console().print(table)
