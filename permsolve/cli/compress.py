"""``permsolve compress``."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permsolve.cli.checkpoints import (
    Exclude,
    Force,
    Include,
    Inputs,
    LeaveOut,
    OnDone,
    OnRemark,
    Out,
    Quiet,
    Seed,
    SolverName,
    SourceFolder,
    TimeLimit,
    Unchanged,
    Workers,
    run_conversion,
)
from permsolve.cli.outputs import check_output
from permsolve.cli.parameters import PatternText
from permsolve.errors import InvalidOptionError, MemoryLimitError

if TYPE_CHECKING:
    from permsolve.networks.compression import CompressionReport

GIB = 2**30


def compress(
    source: SourceFolder,
    out: Out,
    calibration: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="What the model typically reads: texts (.txt, one a line, for the tokenizer of the folder), or "
            "arguments of the model by name (.npz, one sample along the first axis).",
            show_default=False,
        ),
    ],
    pattern: PatternText = "2:4",
    recipe: Annotated[
        str,
        typer.Option(
            help="auto (masks by obs, improved where affordable; kept weights fitted; layer by layer, each making up "
            "for earlier ones), exchange (all layers at once), fit (with the masks of obs), no-update, or magnitude."
        ),
    ] = "auto",
    samples: Annotated[int, typer.Option(min=1, help="Calibration samples to read at most.")] = 128,
    length: Annotated[int, typer.Option(min=1, help="Tokens of a text at most.")] = 512,
    memory_limit: Annotated[
        float | None,
        typer.Option(
            help="GiB for sums of calibration at a time; more passes over the data where it is too little. Moments "
            "that are known wait on the disk of OUT, without a name. Without it: all at once, in memory.",
            show_default=False,
        ),
    ] = None,
    solver: SolverName = "auto",
    time_limit: TimeLimit = 60.0,
    seed: Seed = 0,
    workers: Workers = None,
    include: Include = None,
    exclude: Exclude = None,
    inputs: Inputs = None,
    leave_out: LeaveOut = None,
    unchanged: Unchanged = None,
    force: Force = False,
    report: Annotated[Path | None, typer.Option(help="Write the report here (.json).", show_default=False)] = None,
    quiet: Quiet = False,
) -> int:
    """Prune a whole model of a Hugging Face style folder to N:M so that it behaves as before as far as can be.

    It is permuted, pruned, and what is kept is fitted to the outputs of the dense layers on calibration data.
    Shards, names and types stay as they are; copies of the weights in formats other than safetensors are left out. What
    else lies in the folder is copied where it provably fits the permuted model; otherwise nothing is done.
    Ctrl-C keeps the axes that are solved: the same command goes on from there.
    """
    check_output(report, "--report", (".json",), source, out, calibration)
    limit = None if memory_limit is None else _in_bytes(memory_limit)

    def convert(on_done: OnDone, on_remark: OnRemark) -> "CompressionReport":
        from permsolve.networks.checkpoints import compress_checkpoint

        return compress_checkpoint(
            source, out, calibration, pattern, recipe=recipe, samples=samples, length=length,
            memory_limit=limit, include=include or None, exclude=exclude or None, force=force,
            inputs=inputs, leave_out=leave_out, unchanged=unchanged, on_done=on_done, on_remark=on_remark,
            solver=solver, time_limit=time_limit, seed=seed, workers=workers,
        )  # fmt: skip

    try:
        return run_conversion("compress", out, convert, report, quiet)
    except MemoryLimitError as error:
        if error.alone:
            raise InvalidOptionError(
                f"out of memory: the moments of {error.layer} alone need {error.needed / GIB:.3g} GiB: leave it out "
                "with --exclude"
            ) from error
        if error.limit is None:
            raise InvalidOptionError(
                f"out of memory: calibration needs {error.needed / GIB:.3g} GiB at a time, {error.layer} the most: "
                "give a smaller --memory-limit or --length, or leave layers out with --exclude"
            ) from error
        raise InvalidOptionError(
            f"--memory-limit {error.limit / GIB:.3g} GiB is less than the {error.needed / GIB:.3g} GiB that "
            f"{error.layer} needs alone: give more, or leave it out with --exclude"
        ) from error


def _in_bytes(limit: float) -> int:
    """A memory limit in GiB as bytes; refused unless it is a finite number > 0."""
    if not 0.0 < limit * GIB < math.inf:
        raise InvalidOptionError(f"--memory-limit must be a number of GiB > 0, got {limit:g}")
    return int(limit * GIB)
