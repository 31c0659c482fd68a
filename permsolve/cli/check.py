"""``permsolve check``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.parameters import PatternText, Source, Tensor
from permsolve.cli.streams import discard_stdout
from permsolve.cli.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from permsolve.pattern import Pattern

SHOWN = 10
# The axis along which inputs lie, unless a layer stores them otherwise: a file does not say.
INPUTS = 1


def check(
    source: Source,
    pattern: PatternText = "2:4",
    tensor: Tensor = None,
    every: Annotated[
        bool, typer.Option("--all", help="Check every tensor that can be permuted: a line for each.")
    ] = False,
    axis: Annotated[
        int,
        typer.Option(
            min=0,
            help="The axis along which inputs lie: 0 where a layer stores (in, out), as GPT-2's do; 2 for experts that "
            "are stored as (experts, out, in).",
        ),
    ] = INPUTS,
) -> int:
    """Is a weight N:M sparse as it stands? Exit code 1 when it is not, with --all when any is not.

    With --all, tensors that may be weights and cannot be checked (packed codes, types that numpy lacks) have a line,
    too, and are an error (exit code 2) where no other weight breaks the pattern. Integers are checked when named.
    A file does not say how layers store their weights: see --axis.
    """
    import numpy as np

    from permsolve.cli.choosing import chosen_tensors, refuse_unread
    from permsolve.errors import InvalidOptionError
    from permsolve.io.weight_file import open_weights
    from permsolve.masks import nm_violations
    from permsolve.pattern import Pattern
    from permsolve.weights import matrix_shape

    parsed = Pattern.parse(pattern)
    file = open_weights(source)
    code = ExitCode.OK
    chosen = chosen_tensors(file, tensor, every)
    for info in chosen:
        if axis >= len(info.shape):
            raise InvalidOptionError(f"--axis {axis}: {info.name} has {len(info.shape)} axes, counted from 0")
    for info in chosen:
        weight = file.read(info.name)
        read = np.moveaxis(weight, axis, INPUTS)
        rows, columns = matrix_shape(read.shape)
        broken = nm_violations(read, parsed)
        if broken.size == 0:
            verdict = f"all {rows} rows of {columns} columns follow {parsed}"
        else:
            verdict = f"not {parsed}: {broken.size} of {rows} rows break it: {_listed(broken)}"
            verdict += _elsewhere(weight, axis, parsed)
            code = ExitCode.CHECK_FAILED
        _say(info.name, verdict)
    if not every:
        return code
    unread = [info for info in file.tensors() if info.unread and info not in chosen]
    for info in unread:
        _say(info.name, f"not checked: {info.passed_over}")
    if code == ExitCode.OK:
        refuse_unread(source, unread, "checked")
    return code


def _elsewhere(weight: "NDArray[Any]", axis: int, pattern: "Pattern") -> str:
    """Which other axis of a weight without a kernel the pattern follows."""
    import numpy as np

    from permsolve.masks import nm_violations

    others = [other for other in range(weight.ndim) if other != axis and weight.ndim < 4]
    found = [other for other in others if nm_violations(np.moveaxis(weight, other, INPUTS), pattern).size == 0]
    return f"; along axis {found[0]} all follow it: --axis {found[0]}, if its layer reads along that" if found else ""


def _say(name: str, verdict: str) -> None:
    try:
        typer.echo(f"{printable(name)}: {verdict}")
    except BrokenPipeError:  # the exit code is an answer even when nobody reads the line
        discard_stdout()


def _listed(rows: "NDArray[Any]") -> str:
    return ", ".join(map(str, rows[:SHOWN])) + (", ..." if rows.size > SHOWN else "")
