"""``permsolve lossless``."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from permsolve.cli.console import console
from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.outputs import STDOUT, check_output, held, keep_all, print_kept
from permsolve.cli.parameters import PatternText, Source, Tensor

# Bytes of a study as text, for each byte of its permutation.
_AS_TEXT = 2


def lossless(
    source: Source,
    pattern: PatternText = "2:4",
    solver: Annotated[str, typer.Option(help="Name of a solver: see `permsolve solvers`.")] = "auto",
    tolerance: Annotated[float, typer.Option(help="The sparsity is found to this share.")] = 0.005,
    time_limit: Annotated[float, typer.Option(help="Seconds for each search.")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the searches.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads to use. Without it: all cores.", show_default=False)
    ] = None,
    tensor: Tensor = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the permutation here (.npy, .npz or .safetensors).", show_default=False)
    ] = None,
    json_path: Annotated[
        str | None,
        typer.Option("--json", help="Write the study here (.json, or - for stdout alone).", show_default=False),
    ] = None,
) -> int:
    """How sparse must a weight be, its smallest entries zero, to become N:M without losing a nonzero?

    The least sparsity at which a permutation was found (Pool & Yu 2021, figure 4), and the one below which none exists.
    Of equal entries those become zero for which a permutation has no room.
    """
    check_output(out, "--out", (".npy", ".npz", ".safetensors"), source)
    check_output(json_path, "--json", (".json",), source)

    import numpy as np

    from permsolve.cli.naming import naming
    from permsolve.cli.tables import lossless_table
    from permsolve.io.tensors_out import refuse_unheld, space_for, write_tensors
    from permsolve.io.weight_file import choose_tensor, open_weights
    from permsolve.io.writing import atomic_write
    from permsolve.lossless import lossless_sparsity

    file = open_weights(source)
    info = choose_tensor(file, tensor)
    array = file.read(info.name)
    if out is not None:
        refuse_unheld(out, {info.name: np.dtype(np.int64)})
    space = space_for({info.name: 8 * info.shape[1]})
    with (
        held(out, space) as order,
        held(json_path, _AS_TEXT * space) as document,
        naming(source, info.name if len(file.tensors()) > 1 else None),
    ):
        study = lossless_sparsity(
            array,
            pattern,
            solver=solver,
            tolerance=tolerance,
            time_limit=time_limit,
            seed=seed,
            workers=workers,
        )
        text = json.dumps(study.to_dict(), indent=1, allow_nan=False) + "\n"
        keep_all(
            (order, lambda path: write_tensors(path, {info.name: study.permutation})),
            (document, lambda path: atomic_write(path, lambda stream: stream.write(text.encode()))),
        )
    if json_path == STDOUT:
        print_kept(text)
    if json_path != STDOUT:
        console().print(lossless_table(info.name, study))
    if study.interrupted:
        sys.stderr.write("permsolve: interrupted: this is what was known by then\n")
        return ExitCode.INTERRUPTED
    return ExitCode.OK
