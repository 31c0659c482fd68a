"""``permsolve bound``."""

import json
import sys
from typing import Annotated

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.outputs import STDOUT, check_output
from permsolve.cli.parameters import Inputs, PatternText, SaliencyName, Source, Tensor
from permsolve.cli.text import amount, printable


def bound(
    source: Source,
    pattern: PatternText = "2:4",
    time_limit: Annotated[float, typer.Option(help="Seconds.")] = 60.0,
    method: Annotated[str, typer.Option(help="rows, pairs, groups or auto: what the time allows.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads to use. Without it: all cores.", show_default=False)
    ] = None,
    saliency: SaliencyName = "magnitude",
    inputs: Inputs = None,
    tensor: Tensor = None,
    json_path: Annotated[
        str | None,
        typer.Option(
            "--json",
            help="Write bound and certificate here (.json, or - for stdout alone).",
            show_default=False,
        ),
    ] = None,
) -> int:
    """How much can any permutation of a weight keep? A certified upper bound."""
    check_output(json_path, "--json", (".json",), source, inputs)

    from permsolve.bound import upper_bound
    from permsolve.cli.inputs import open_inputs
    from permsolve.cli.naming import naming
    from permsolve.io.weight_file import choose_tensor, open_weights
    from permsolve.io.writing import atomic_write
    from permsolve.problem import Problem

    moments_of = open_inputs(inputs, saliency)
    file = open_weights(source)
    info = choose_tensor(file, tensor)
    array = file.read(info.name)
    with naming(source, info.name if len(file.tensors()) > 1 else None):
        problem = Problem.from_weight(array, pattern, saliency, moments_of(info.name))
    found = upper_bound(problem, time_limit=time_limit, method=method, workers=workers)
    if json_path is not None:
        document = {
            "value": found.value,
            "method": found.method,
            "row_bound": found.row_bound,
            "baseline": problem.baseline,
            "efficacy": problem.efficacy(found.value),
            "runtime": found.runtime,
            "certificate": found.certificate.to_dict(),
        }
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        if json_path == STDOUT:
            sys.stdout.write(text)
            return ExitCode.OK
        atomic_write(json_path, lambda stream: stream.write(text.encode()))
    typer.echo(
        f"{printable(info.name)}: no permutation keeps more than {amount(found.value)} at {pattern}, efficacy "
        f"{problem.efficacy(found.value):.4f} % (bound by {found.method}, {found.runtime:.1f} s; by rows "
        f"{amount(found.row_bound)}; in the given order {amount(problem.baseline)})"
    )
    return ExitCode.OK
