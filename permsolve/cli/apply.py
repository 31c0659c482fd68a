"""``permsolve apply``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from permsolve.cli.exit_codes import ExitCode
from permsolve.cli.outputs import check_output
from permsolve.cli.parameters import Inputs, SaliencyName, Source, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


def apply(
    source: Source,
    permutation: Annotated[
        Path,
        typer.Argument(
            metavar="PERMUTATION", help="What solve wrote: a permutation, a result, or several by tensor name."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Write the re-ordered weight here (.npy, .npz or .safetensors).")],
    prune: Annotated[bool, typer.Option("--prune", help="Also set to zero what the pattern drops.")] = False,
    pattern: Annotated[
        str | None,
        typer.Option(help="N:M for --prune. Without it: the result's own, else 2:4.", show_default=False),
    ] = None,
    saliency: SaliencyName = "magnitude",
    inputs: Inputs = None,
    tensor: Tensor = None,
) -> int:
    """Re-order the columns of a weight by a permutation, in its own dtype.

    With several permutations by tensor name, every tensor named is re-ordered and
    all others are copied.
    """
    check_output(out, "--out", (".npy", ".npz", ".safetensors"), source, permutation, inputs)

    from permsolve.cli.inputs import open_inputs
    from permsolve.cli.naming import naming
    from permsolve.cli.permutation_files import read_permutations
    from permsolve.errors import FileFormatError, InvalidOptionError
    from permsolve.io.safetensors import SafetensorsFile
    from permsolve.io.safetensors_copy import copy_safetensors
    from permsolve.io.tensors_out import write_tensors
    from permsolve.io.weight_file import choose_tensor, open_weights
    from permsolve.masks import reorder
    from permsolve.pattern import Pattern

    if inputs is not None and not prune:
        raise InvalidOptionError("--inputs is for --prune: add that, or leave it out")
    saved = read_permutations(permutation)
    permutations = saved.permutations
    chosen = Pattern.parse(pattern) if pattern is not None else saved.pattern or Pattern(2, 4)
    pruned_to = chosen if prune else None
    if prune and saved.saliency not in (None, saliency):
        raise InvalidOptionError(
            f"{permutation}: solved for saliency {saved.saliency!r}, and --prune would go by {saliency!r}: give "
            f"--saliency {saved.saliency}, with the --inputs that solve had, if any"
        )
    moments_of = open_inputs(inputs, saliency)
    file = open_weights(source)

    def reordered(name: str, key: str | None) -> "NDArray[Any]":
        array = file.read(name)
        with naming(source, name if len(known) > 1 else None):
            return reorder(array, permutations[key], pruned_to, saliency, moments_of(name))

    known = [info.name for info in file.tensors()]
    metadata = file.metadata if isinstance(file, SafetensorsFile) else None
    if None in permutations:
        name = choose_tensor(file, tensor).name
        write_tensors(out, {name: reordered(name, None)}, metadata)
        return ExitCode.OK
    missing = [name for name in permutations if name not in known]
    if missing:
        raise FileFormatError(f"{source}: no tensor {missing[0]!r}, which {permutation} has a permutation for")
    if tensor is not None:
        if tensor not in permutations:
            raise FileFormatError(f"{permutation}: no permutation for tensor {tensor!r}")
        write_tensors(out, {tensor: reordered(tensor, tensor)}, metadata)
        return ExitCode.OK
    suffix = out.suffix.lower()
    if suffix == ".npy" and len(known) > 1:
        raise InvalidOptionError(
            f"--out {out}: {source} holds {len(known)} tensors: name it .npz or .safetensors, or choose one by --tensor"
        )
    if suffix == ".safetensors" and isinstance(file, SafetensorsFile):
        copy_safetensors(source, out, {name: partial(reordered, name, name) for name in permutations if name})
        return ExitCode.OK
    write_tensors(
        out, {name: reordered(name, name) if name in permutations else file.read(name) for name in known}, metadata
    )
    return ExitCode.OK
