"""``permsolve gpu-report``."""

import json
from typing import Annotated

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.outputs import STDOUT
from permsolve.errors import InvalidOptionError, MissingPackageError


def gpu_report(
    measure: Annotated[bool, typer.Option(help="Time linear layers, dense and sparse.")] = True,
    json_path: Annotated[
        str | None, typer.Option("--json", help="Give - to print JSON instead.", show_default=False)
    ] = None,
) -> int:
    """Can this machine run 2:4, and how much faster is it? Exit code 1 when it cannot.

    Names the GPU, versions and backends, and times linear layers of common shapes, dense and sparse, in bfloat16.
    """
    if json_path not in (None, STDOUT):
        raise InvalidOptionError("--json takes - here, and prints to stdout")
    try:
        from permsolve.networks.sparse import gpu_report as run
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"gpu-report needs {error.name}: pip install 'permsolve[torch]'") from error

    found = run(measure=measure)
    text = json.dumps(found.to_dict(), indent=1) if json_path == STDOUT else "\n".join(found.lines())
    typer.echo(text)
    return ExitCode.OK if found.able else ExitCode.CHECK_FAILED
