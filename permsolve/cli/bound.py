"""``permsolve bound``."""

import json
from typing import Annotated

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.outputs import STDOUT, check_output, held, keep_all, print_kept
from permsolve.cli.parameters import Inputs, PatternText, SaliencyName, Source, Tensor
from permsolve.cli.text import amount, printable

# Bytes of a bound as text, for each column: with its prices, in a proof of one node.
_AS_TEXT = 256


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
    with held(json_path, _AS_TEXT * problem.columns) as target:
        found = upper_bound(problem, time_limit=time_limit, method=method, workers=workers)
        document = {
            "value": found.value,
            "method": found.method,
            "row_bound": found.row_bound,
            "baseline": problem.baseline,
            "efficacy": problem.efficacy(found.value),
            "runtime": found.runtime,
            "notes": dict(found.notes),
            "certificate": found.certificate.to_dict(),
        }
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        keep_all((target, lambda path: atomic_write(path, lambda stream: stream.write(text.encode()))))
    if json_path == STDOUT:
        print_kept(text)
        return ExitCode.OK
    notes = found.notes.values()
    typer.echo(
        f"{printable(info.name)}: no permutation keeps more than {amount(found.value)} at {pattern}, efficacy "
        f"{problem.efficacy(found.value):.4f} % (bound by {found.method}, {found.runtime:.1f} s; by rows "
        f"{amount(found.row_bound)}; in the given order {amount(problem.baseline)}){''.join(map('; {}'.format, notes))}"
    )
    return ExitCode.OK
