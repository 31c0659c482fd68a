"""``permsolve solve``."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from permsolve.cli.console import console
from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.outputs import STDOUT, check_output
from permsolve.cli.parameters import Inputs, PatternText, SaliencyName, Source, Tensor, parse_options
from permsolve.cli.text import printable
from permsolve.errors import FileFormatError, InvalidOptionError

if TYPE_CHECKING:
    from permsolve.result import Result


def solve(
    source: Source,
    pattern: PatternText = "2:4",
    solver: Annotated[str, typer.Option(help="Name of a solver: see `permsolve solvers`.")] = "auto",
    time_limit: Annotated[
        float | None,
        typer.Option(help="Seconds of search for each tensor. Without it: 1 to 120, by the size.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads to use. Without it: all cores.", show_default=False)
    ] = None,
    saliency: SaliencyName = "magnitude",
    inputs: Inputs = None,
    initial: Annotated[
        Path | None, typer.Option(help="A permutation or result to start from.", show_default=False)
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="An option of the solver, such as kick=8 or 'parameters={...}' with JSON; may be repeated.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="cpu or cuda, for auto, assignment and local-search. Without it, auto uses a GPU where there is one "
            "and the problem is large, the others do not.",
            show_default=False,
        ),
    ] = None,
    tensor: Tensor = None,
    every: Annotated[
        bool, typer.Option("--all", help="Solve every tensor that can be permuted, into one output file.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the permutation here (.npy; .npz or .safetensors by tensor name). Without it, nothing is "
            "written but --json.",
            show_default=False,
        ),
    ] = None,
    json_path: Annotated[
        str | None,
        typer.Option("--json", help="Write the whole result here (.json, or - for stdout alone).", show_default=False),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> int:
    """Find a column permutation that keeps more of a weight under N:M sparsity.

    The weight is (out, in) or (out, in, k...); its input channels are re-ordered.
    The permutation p written by --out means weight[:, p].
    Ctrl-C ends the search: what was found so far is written.
    """
    suffixes = (".npz", ".safetensors") if every else (".npy", ".npz", ".safetensors")
    check_output(out, "--out", suffixes, source, inputs, initial)
    check_output(json_path, "--json", (".json",), source, inputs, initial)
    if every and initial is not None:
        raise InvalidOptionError("--all and --initial exclude each other: a permutation belongs to one tensor")
    options = parse_options(option or [])
    if device is not None:
        if "device" in options:
            raise InvalidOptionError("--device and --option device=... exclude each other")
        options["device"] = device

    from permsolve.api import solve as run_solver
    from permsolve.cli.choosing import chosen_tensors
    from permsolve.cli.inputs import open_inputs
    from permsolve.cli.naming import naming
    from permsolve.cli.permutation_files import read_permutations
    from permsolve.cli.progress import progress_line
    from permsolve.cli.tables import result_table, results_table
    from permsolve.io.weight_file import open_weights
    from permsolve.pattern import Pattern
    from permsolve.problem import Problem
    from permsolve.registry import get_solver
    from permsolve.status import StopReason

    parsed = Pattern.parse(pattern)
    get_solver(solver, **options)  # a wrong name or option shows before a large file is read
    moments_of = open_inputs(inputs, saliency)
    start = None
    if initial is not None:
        permutations = read_permutations(initial).permutations
        if len(permutations) != 1:
            raise FileFormatError(f"{initial}: holds {len(permutations)} permutations, --initial needs one")
        (start,) = permutations.values()
    file = open_weights(source)
    chosen = chosen_tensors(file, tensor, every)

    def problem_of(name: str) -> Problem:
        array = file.read(name)
        with naming(source, name if len(file.tensors()) > 1 else None):
            return Problem.from_weight(array, parsed, saliency, moments_of(name))

    if len(chosen) > 1:
        for info in chosen:  # a tensor that cannot be solved must show before hours went into those before it
            problem_of(info.name)

    results: dict[str, Result] = {}
    interrupted = False
    for info in chosen:
        try:
            problem = problem_of(info.name)
            with naming(initial or source):
                from_value = problem.baseline if start is None else problem.value(start)
            with progress_line(problem, info.name, from_value, show=not quiet) as observer:
                result = run_solver(
                    problem,
                    solver,
                    time_limit=time_limit,
                    seed=seed,
                    workers=workers,
                    initial=start,
                    observer=observer,
                    **options,
                )
        except KeyboardInterrupt:  # between two searches, or the second one: keep the tensors that are done
            if not results:
                raise
            interrupted = True
            break
        results[info.name] = result
        interrupted = result.stop_reason == StopReason.INTERRUPTED
        if interrupted:
            break

    _write(results, every, out, json_path)
    if not quiet:
        table = results_table(results) if every else result_table(info.name, result)
        console(to_stderr=json_path == STDOUT).print(table)
    if interrupted:
        sys.stderr.write(f"permsolve: interrupted: {_what_is_left(len(results), len(chosen), out, json_path)}\n")
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _what_is_left(done: int, wanted: int, out: Path | None, json_path: str | None) -> str:
    """What an interrupted run leaves behind, in words."""
    targets = [] if out is None else [printable(str(out))]
    if json_path is not None:
        targets.append("standard output" if json_path == STDOUT else printable(json_path))
    found = "the best found so far" if wanted == 1 else f"the best found so far ({done} of {wanted} tensors)"
    return f"{found} was written to {' and '.join(targets)}" if targets else f"{found} was not written: no --out given"


def _write(results: "Mapping[str, Result]", every: bool, out: Path | None, json_path: str | None) -> None:
    from permsolve.io.tensors_out import write_tensors
    from permsolve.io.writing import atomic_write

    if out is not None:
        write_tensors(out, {name: result.permutation for name, result in results.items()})
    if json_path is None:
        return
    document: dict[str, Any] = {name: result.to_dict() for name, result in results.items()}
    document = {"tensors": document} if every else next(iter(document.values()))
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    if json_path == STDOUT:
        sys.stdout.write(text)
    else:
        atomic_write(json_path, lambda stream: stream.write(text.encode()))
