"""``permsolve apply``."""

from pathlib import Path
from typing import Annotated

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.outputs import check_output
from permsolve.cli.parameters import Source, Tensor


def apply(
    source: Source,
    permutation: Annotated[
        Path, typer.Argument(help="What solve wrote: a permutation, a result, or several by tensor name.")
    ],
    out: Annotated[Path, typer.Option(help="Write the re-ordered weight here (.npy, .npz or .safetensors).")],
    prune: Annotated[bool, typer.Option("--prune", help="Also set to zero what the pattern drops.")] = False,
    pattern: Annotated[
        str | None,
        typer.Option(help="N:M for --prune. [default: the result's own, else 2:4]", show_default=False),
    ] = None,
    tensor: Tensor = None,
) -> int:
    """Re-order the columns of a weight by a permutation, in its own dtype.

    With several permutations by tensor name, every tensor named is re-ordered and all others are copied.
    """
    check_output(out, "--out", (".npy", ".npz", ".safetensors"), source)

    from permsolve.cli.permutation_files import read_permutations
    from permsolve.errors import FileFormatError
    from permsolve.io.safetensors import SafetensorsFile
    from permsolve.io.tensors_out import write_tensors
    from permsolve.io.weight_file import choose_tensor, open_weights
    from permsolve.masks import reorder
    from permsolve.pattern import Pattern

    permutations, solved_for = read_permutations(permutation)
    chosen = Pattern.parse(pattern) if pattern is not None else solved_for or Pattern(2, 4)
    pruned_to = chosen if prune else None
    file = open_weights(source)
    if None in permutations:
        info = choose_tensor(file, tensor)
        outputs = {info.name: reorder(file.read(info.name), permutations[None], pruned_to)}
    else:
        known = [info.name for info in file.tensors()]
        missing = [name for name in permutations if name not in known]
        if missing:
            raise FileFormatError(f"{source}: no tensor {missing[0]!r}, which {permutation} has a permutation for")
        if tensor is not None:
            if tensor not in permutations:
                raise FileFormatError(f"{permutation}: no permutation for tensor {tensor!r}")
            outputs = {tensor: reorder(file.read(tensor), permutations[tensor], pruned_to)}
        else:
            outputs = {
                name: reorder(file.read(name), permutations[name], pruned_to)
                if name in permutations
                else file.read(name)
                for name in known
            }
    metadata = file.metadata if isinstance(file, SafetensorsFile) else None
    write_tensors(out, outputs, metadata)
    return ExitCode.OK
