"""``permsolve solve``."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from permsolve.cli.console import console
from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.outputs import STDOUT, check_output, held, keep_all, print_kept
from permsolve.cli.parameters import Inputs, PatternText, SaliencyName, Source, Tensor, parse_options
from permsolve.cli.text import printable
from permsolve.errors import FileFormatError, InvalidOptionError

# Bytes of a result as text, for each byte of its permutation as a file: with its trace.
_AS_TEXT = 2


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

    import numpy as np

    from permsolve.api import solve as run_solver
    from permsolve.cli.choosing import chosen_tensors
    from permsolve.cli.inputs import open_inputs
    from permsolve.cli.naming import naming
    from permsolve.cli.permutation_files import read_permutations
    from permsolve.cli.progress import progress_line
    from permsolve.cli.solving import Saving, as_text, solve_each, write_orders, write_results
    from permsolve.cli.tables import result_table, results_table
    from permsolve.io.tensors_out import refuse_unheld, space_for
    from permsolve.io.weight_file import open_weights
    from permsolve.pattern import Pattern
    from permsolve.problem import Problem
    from permsolve.registry import get_solver
    from permsolve.result import Result
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
    if out is not None:
        refuse_unheld(out, {info.name: np.dtype(np.int64) for info in chosen})

    def problem_of(name: str) -> Problem:
        array = file.read(name)
        with naming(source, name if len(file.tensors()) > 1 else None):
            return Problem.from_weight(array, parsed, saliency, moments_of(name))

    def solved(name: str) -> Result:
        problem = problem_of(name)
        with naming(initial or source):
            from_value = problem.baseline if start is None else problem.value(start)
        with progress_line(problem, name, from_value, show=not quiet) as observer:
            return run_solver(
                problem,
                solver,
                time_limit=time_limit,
                seed=seed,
                workers=workers,
                initial=start,
                observer=observer,
                **options,
            )

    places = {info.name: 8 * info.shape[1] for info in chosen}
    with held(out, space_for(places)) as orders, held(json_path, _AS_TEXT * space_for(places)) as document:
        if len(chosen) > 1:
            for info in chosen:  # a tensor that cannot be solved must show before hours went into those before it
                problem_of(info.name)
        saved = Saving(out, json_path, every) if len(chosen) > 1 else None
        results, ended_by = solve_each([info.name for info in chosen], solved, saved)
        interrupted = isinstance(ended_by, KeyboardInterrupt)
        to_write = [(orders, partial(write_orders, results)), (document, partial(write_results, results, every))]
        keep_all(*to_write)
    if json_path == STDOUT:
        print_kept(as_text(results, every))
    left = _what_is_left(len(results), len(chosen), out, json_path)
    if ended_by is not None and not interrupted:
        ended_by.add_note(left)
        raise ended_by
    if not quiet:
        table = results_table(results) if every else result_table(*next(iter(results.items())))
        console(to_stderr=json_path == STDOUT).print(table)
        passed_over = [f"{info.name} ({info.dtype})" for info in file.tensors() if info.unread] if every else []
        if passed_over:
            sys.stderr.write(f"permsolve: not solved, as they may be no weights: {printable(', '.join(passed_over))}\n")
    for name, result in results.items():
        if result.stop_reason is StopReason.MEMORY:
            sys.stderr.write(f"permsolve: {printable(name)}: ran out of memory: {left}\n")
    if interrupted:
        sys.stderr.write(f"permsolve: interrupted: {left}\n")
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _what_is_left(done: int, wanted: int, out: Path | None, json_path: str | None) -> str:
    """What a run that was ended leaves behind, in words."""
    targets = [] if out is None else [printable(str(out))]
    if json_path is not None:
        targets.append("standard output" if json_path == STDOUT else printable(json_path))
    found = "the best found so far" if wanted == 1 else f"the best found so far ({done} of {wanted} tensors)"
    return f"{found} was written to {' and '.join(targets)}" if targets else f"{found} was not written: no --out given"
