"""``permsolve inspect``."""

from permsolve.cli.console import console
from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.parameters import Inputs, PatternText, SaliencyName, Source
from permsolve.cli.text import printable


def inspect(
    source: Source, pattern: PatternText = "2:4", saliency: SaliencyName = "magnitude", inputs: Inputs = None
) -> int:
    """List the tensors of a file: shape, type, whether they can be permuted, and what the pattern keeps of them.

    "kept" is the share that the pattern keeps in the given order, "row bound" a share that no order exceeds. Tensors
    that may be weights and cannot be looked at are listed, too, and an error (exit code 2).
    """
    from rich import box
    from rich.table import Table

    from permsolve.cli.choosing import refuse_unread
    from permsolve.cli.inputs import open_inputs
    from permsolve.cli.progress import share
    from permsolve.errors import FileFormatError, InvalidProblemError
    from permsolve.io.weight_file import open_weights
    from permsolve.pattern import Pattern
    from permsolve.problem import Problem

    parsed = Pattern.parse(pattern)
    moments_of = open_inputs(inputs, saliency)
    file = open_weights(source)
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("tensor", overflow="fold")
    table.add_column("shape", no_wrap=True)
    table.add_column("dtype", no_wrap=True)
    table.add_column(f"kept at {parsed}", justify="right", min_width=9)
    table.add_column("row bound", justify="right", min_width=9)
    table.add_column("can be permuted", overflow="fold")
    unread = []
    infos = file.tensors()
    for info in infos:
        kept, bound, verdict = "", "", info.reason or "yes"
        named_only = info.integer and len(infos) > 1
        if info.unread and (named_only or not info.eligible):
            unread.append(info)
        if info.eligible and named_only:
            verdict = f"only when named: {info.dtype} may be packed codes or a table"
        elif info.eligible:
            try:
                problem = Problem.from_weight(file.read(info.name), parsed, saliency, moments_of(info.name))
            except (InvalidProblemError, FileFormatError) as error:  # not finite, no moments: go on with the others
                verdict = str(error).partition(";")[0]
            except MemoryError:
                verdict = "too large for the memory of this machine"
                unread.append(info)
            else:
                kept = share(problem.baseline, problem.total)
                bound = share(problem.row_bound, problem.total)
        table.add_row(
            printable(info.name),
            " x ".join(map(str, info.shape)) or "scalar",
            info.dtype,
            kept,
            bound,
            verdict,
        )
    console().print(table)
    refuse_unread(source, unread, "looked at")
    return ExitCode.OK
