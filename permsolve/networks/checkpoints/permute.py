"""Permuting the model of a checkpoint folder."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from permsolve import networks
from permsolve.errors import InvalidOptionError
from permsolve.networks.checkpoints.conversion import chosen_layers, convert
from permsolve.networks.checkpoints.examples import example_calls, tracing
from permsolve.networks.checkpoints.files import Wishes
from permsolve.networks.checkpoints.loading import Loaded
from permsolve.networks.checkpoints.outputs import Outputs
from permsolve.networks.checkpoints.resuming import ResumingExecutor
from permsolve.networks.prunable import NameFilter
from permsolve.networks.report import Report
from permsolve.networks.surroundings import undisturbed
from permsolve.pattern import Pattern


@undisturbed
def permute_checkpoint(
    source: Path,
    target: Path,
    pattern: str | Pattern = "2:4",
    *,
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
    prune: bool = False,
    inputs: Sequence[Path] | None = None,
    leave_out: Iterable[str] | None = None,
    unchanged: Iterable[str] | None = None,
    force: bool = False,
    on_done: Callable[[], None] | None = None,
    on_remark: Callable[[str], None] | None = None,
    **options: Any,
) -> Report:
    """Permute the model of a Hugging Face style folder, and write a folder that computes the same.

    Parameters
    ----------
    source, target, force, on_done, on_remark
        See :func:`permsolve.networks.checkpoints.conversion.convert`.
    pattern : Pattern or str, default "2:4"
        The pattern.
    include, exclude : str, iterable of str, or callable, optional
        Which layers count, and are pruned: see :func:`permsolve.networks.prunable.prunable_weights`. Unless
        ``include`` is given, the output embedding (the head of a language model) is left out.
    prune : bool, default False
        Whether to prune to the pattern, too.
    inputs : sequence of Path, optional
        Calls that the model is traced and verified with: for each, an .npz file of its arguments by name. Without it,
        calls are made after the configuration of the model.
    leave_out, unchanged : iterable of str, optional
        Globs of files and tensors that are no part of the model: see
        :class:`permsolve.networks.checkpoints.files.Wishes`.
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
    InvalidNetworkError
        When no call is known that reaches all parts of the model.
    VerificationError
        When the permuted model would compute something else; nothing is written then.
    """
    if options.get("gather", "never") != "never":
        raise InvalidOptionError("a checkpoint has no place for gathers: leave gather at 'never'")

    def change(loaded: Loaded, executor: ResumingExecutor) -> Report:
        model = loaded.model
        wrapped, wanted = Outputs(model, states=loaded.states_are_read), chosen_layers(model, include, exclude)
        examples = example_calls(wrapped, loaded, inputs)
        with tracing(source, on_remark, examples):
            report = networks.permute_(wrapped, examples.calls, pattern, include=wanted, executor=executor, **options)
        if prune:
            saliency = options.get("saliency", "magnitude")
            masks = networks.prune_(wrapped, pattern, saliency=saliency, include=wanted)
            networks.finalize_(model)
            report = replace(report, notes={**report.notes, "pruned": masks.summary()})
        return report

    return convert(
        source, target, change, undo=networks.invert_, zeros=prune, wishes=Wishes.of(leave_out, unchanged), force=force,
        on_done=on_done, on_remark=on_remark,
    )  # fmt: skip
