"""``permsolve check``."""

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.parameters import PatternText, Source, Tensor

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
    if broken.size == 0:
        typer.echo(f"{info.name}: all {rows} rows of {columns} columns follow {parsed}")
        return ExitCode.OK
    first = ", ".join(map(str, broken[:SHOWN])) + (", ..." if broken.size > SHOWN else "")
    typer.echo(f"{info.name}: not {parsed}: {broken.size} of {rows} rows break it: {first}")
    return ExitCode.CHECK_FAILED
