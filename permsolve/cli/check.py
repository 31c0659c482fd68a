"""``permsolve check``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.parameters import PatternText, Source, Tensor
from permsolve.cli.streams import discard_stdout
from permsolve.cli.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN = 10


def check(
    source: Source,
    pattern: PatternText = "2:4",
    tensor: Tensor = None,
    every: Annotated[
        bool, typer.Option("--all", help="Check every tensor that can be permuted: a line for each.")
    ] = False,
) -> int:
    """Is a weight N:M sparse as it stands? Exit code 1 when it is not, with --all when any is not."""
    from permsolve.cli.choosing import chosen_tensors
    from permsolve.io.weight_file import open_weights
    from permsolve.masks import nm_violations
    from permsolve.pattern import Pattern
    from permsolve.weights import matrix_shape

    parsed = Pattern.parse(pattern)
    file = open_weights(source)
    code = ExitCode.OK
    for info in chosen_tensors(file, tensor, every):
        rows, columns = matrix_shape(info.shape)
        broken = nm_violations(file.read(info.name), parsed)
        if broken.size == 0:
            verdict = f"all {rows} rows of {columns} columns follow {parsed}"
        else:
            verdict = f"not {parsed}: {broken.size} of {rows} rows break it: {_listed(broken)}"
            code = ExitCode.CHECK_FAILED
        try:
            typer.echo(f"{printable(info.name)}: {verdict}")
        except BrokenPipeError:  # the exit code is an answer even when nobody reads the line
            discard_stdout()
    return code


def _listed(rows: "NDArray[Any]") -> str:
    return ", ".join(map(str, rows[:SHOWN])) + (", ..." if rows.size > SHOWN else "")
