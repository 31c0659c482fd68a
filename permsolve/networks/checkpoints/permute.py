"""Permuting the model of a checkpoint folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from permsolve import networks
from permsolve.errors import InvalidOptionError
from permsolve.networks.checkpoints.conversion import chosen_layers, convert
from permsolve.networks.checkpoints.folder import CheckpointFolder
from permsolve.networks.checkpoints.inputs import Outputs, example_inputs
from permsolve.networks.checkpoints.resuming import ResumingExecutor
from permsolve.networks.prunable import NameFilter
from permsolve.networks.report import Report
from permsolve.pattern import Pattern


def permute_checkpoint(
    source: Path,
    target: Path,
    pattern: str | Pattern = "2:4",
    *,
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
    prune: bool = False,
    force: bool = False,
    on_done: Callable[[], None] | None = None,
    **options: Any,
) -> Report:
    """Permute the model of a Hugging Face style folder, and write a folder that computes the same.

    Parameters
    ----------
    source, target, force, on_done
        See :func:`permsolve.networks.checkpoints.conversion.convert`.
    pattern : Pattern or str, default "2:4"
        The pattern.
    include, exclude : str, iterable of str, or callable, optional
        Which layers count, and are pruned: see :func:`permsolve.networks.prunable.prunable_weights`. Unless
        ``include`` is given, the output embedding (the head of a language model) is left out.
    prune : bool, default False
        Whether to prune to the pattern, too.
    **options
        Of :func:`permsolve.networks.permute_`: solver, time_limit, seed, workers, saliency.

    Returns
    -------
    Report
        What :func:`permsolve.networks.permute_` returns.

    Raises
    ------
    InvalidOptionError
        When gathers are asked for, and as :func:`convert` does.
    FileFormatError, MissingPackageError
        As :func:`convert` does.
    VerificationError
        When the permuted model would compute something else; nothing is written then.
    """
    if options.get("gather", "never") != "never":
        raise InvalidOptionError("a checkpoint has no place for gathers: leave gather at 'never'")

    def change(model: Any, folder: CheckpointFolder, executor: ResumingExecutor) -> Report:
        wrapped, wanted = Outputs(model), chosen_layers(model, include, exclude)
        report = networks.permute_(
            wrapped, example_inputs(model), pattern, include=wanted, executor=executor, **options
        )
        if prune:
            networks.prune_(wrapped, pattern, saliency=options.get("saliency", "magnitude"), include=wanted)
            networks.finalize_(model)
        return report

    return convert(source, target, change, force=force, on_done=on_done)
