"""``permsolve check``."""

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.parameters import PatternText, Source, Tensor
from permsolve.cli.streams import discard_stdout
from permsolve.cli.text import printable

SHOWN = 10


def check(source: Source, pattern: PatternText = "2:4", tensor: Tensor = None) -> int:
    """Is a weight N:M sparse as it stands? Exit code 1 when it is not."""
    from permsolve.io.weight_file import choose_tensor, open_weights
    from permsolve.masks import nm_violations
    from permsolve.pattern import Pattern
    from permsolve.weights import matrix_shape

    parsed = Pattern.parse(pattern)
    file = open_weights(source)
    info = choose_tensor(file, tensor)
    rows, columns = matrix_shape(info.shape)
    broken = nm_violations(file.read(info.name), parsed)
    label = printable(info.name)
    if broken.size == 0:
        line, code = f"{label}: all {rows} rows of {columns} columns follow {parsed}", ExitCode.OK
    else:
        first = ", ".join(map(str, broken[:SHOWN])) + (", ..." if broken.size > SHOWN else "")
        line = f"{label}: not {parsed}: {broken.size} of {rows} rows break it: {first}"
        code = ExitCode.CHECK_FAILED
    try:
        typer.echo(line)
    except BrokenPipeError:  # the exit code is an answer even when nobody reads the line
        discard_stdout()
    return code
