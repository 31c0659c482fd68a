"""``python -m bench example`` and ``picture``: the data and the picture that are kept beside the code."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.failing import FAILED, failing

EXAMPLE = Path(__file__).parents[1] / "data" / "digits_mlp.npy"
PICTURE = Path(__file__).parents[1] / "pictures" / "overview.png"


def example(
    out: Annotated[Path, typer.Option(help="File to write or check.", show_default=False)] = EXAMPLE,
    check: Annotated[bool, typer.Option("--check", help="Compare with the file instead of writing it.")] = False,
) -> None:
    """Train the network whose weight `make solve` works on, and write the weight or compare it with the one there."""
    with failing():
        from bench.example import agrees, write

        if not check:
            write(out)
        elif not agrees(out):
            raise typer.Exit(FAILED)


def picture(
    out: Annotated[Path, typer.Option(help="File to write.", show_default=False)] = PICTURE,
) -> None:
    """Draw the picture of the README."""
    with failing():
        from bench.picture import draw

        draw(EXAMPLE, out)
