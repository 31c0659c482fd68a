"""``permsolve permute-checkpoint``."""

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
from permsolve.cli.parameters import PatternText, SaliencyName

if TYPE_CHECKING:
    from permsolve.networks.report import Report


def permute_checkpoint(
    source: SourceFolder,
    out: Out,
    pattern: PatternText = "2:4",
    solver: SolverName = "auto",
    time_limit: TimeLimit = 60.0,
    seed: Seed = 0,
    workers: Workers = None,
    saliency: SaliencyName = "magnitude",
    include: Include = None,
    exclude: Exclude = None,
    prune: Annotated[bool, typer.Option("--prune", help="Prune the layers that count to the pattern, too.")] = False,
    inputs: Inputs = None,
    leave_out: LeaveOut = None,
    unchanged: Unchanged = None,
    force: Force = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the report of all axes here (.json or .npz).", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Permute a whole model of a Hugging Face style folder; it computes what it did.

    Every axis that may be permuted is, in all weights that carry it, and nothing is added at run time.
    Shards, names and types stay as they are; copies of the weights in formats other than safetensors are left out. What
    else lies in the folder is copied where it provably fits the permuted model; otherwise nothing is done.
    Ctrl-C keeps what is solved: the same command goes on from there.
    """
    check_output(report, "--report", (".json", ".npz"), source, out)

    def convert(on_done: OnDone, on_remark: OnRemark) -> "Report":
        from permsolve.networks.checkpoints import permute_checkpoint as run

        return run(
            source, out, pattern, include=include or None, exclude=exclude or None, prune=prune, force=force,
            inputs=inputs, leave_out=leave_out, unchanged=unchanged, on_done=on_done, on_remark=on_remark,
            solver=solver, time_limit=time_limit, seed=seed, workers=workers, saliency=saliency,
        )  # fmt: skip

    return run_conversion("permute-checkpoint", out, convert, report, quiet)
