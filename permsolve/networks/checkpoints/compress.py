"""Compressing the model of a checkpoint folder."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from permsolve import networks
from permsolve.networks.checkpoints.calibration_data import read_batches
from permsolve.networks.checkpoints.conversion import chosen_layers, convert
from permsolve.networks.checkpoints.examples import example_calls, tracing
from permsolve.networks.checkpoints.files import Wishes
from permsolve.networks.checkpoints.loading import Loaded
from permsolve.networks.checkpoints.outputs import Outputs
from permsolve.networks.checkpoints.resuming import ResumingExecutor
from permsolve.networks.compression import CompressionReport, Recipe
from permsolve.networks.prunable import NameFilter
from permsolve.networks.surroundings import undisturbed
from permsolve.pattern import Pattern

# Samples of the first batch that the model is traced and judged with.
_EXAMPLES = 2


@undisturbed
def compress_checkpoint(
    source: Path,
    target: Path,
    calibration: Path,
    pattern: str | Pattern = "2:4",
    *,
    recipe: str | Recipe = "auto",
    samples: int = 128,
    length: int = 512,
    memory_limit: int | None = None,
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
    inputs: Sequence[Path] | None = None,
    leave_out: Iterable[str] | None = None,
    unchanged: Iterable[str] | None = None,
    force: bool = False,
    on_done: Callable[[], None] | None = None,
    on_remark: Callable[[str], None] | None = None,
    **options: Any,
) -> CompressionReport:
    """Permute, prune and fit the model of a Hugging Face style folder on calibration data, and write it to another.

    Parameters
    ----------
    source, target, force, on_done, on_remark
        See :func:`permsolve.networks.checkpoints.conversion.convert`.
    calibration : Path
        Texts (.txt) or arguments of the model (.npz): see
        :func:`permsolve.networks.checkpoints.calibration_data.read_batches`.
    pattern, recipe
        Of :func:`permsolve.networks.compress_`.
    samples, length : int
        How many samples are read at most, and how many tokens a text has at most.
    memory_limit : int, optional
        Of :func:`permsolve.networks.calibrate`, in bytes; second moments then wait on the disk of the target.
    include, exclude : str, iterable of str, or callable, optional
        Which layers: as for :func:`permsolve.networks.checkpoints.permute_checkpoint`.
    inputs, leave_out, unchanged
        As for :func:`permsolve.networks.checkpoints.permute_checkpoint`; the model is traced with the first
        samples of the calibration data, and with further calls where these do not reach all of it.
    **options
        Of :func:`permsolve.networks.compress_`: solver, time_limit, seed, workers.

    Returns
    -------
    CompressionReport
        Its change of the outputs is that on the first samples of the calibration data.

    Raises
    ------
    FileFormatError
        When the calibration data cannot be read or do not fit the model, and as :func:`convert` does.
    InvalidOptionError, MissingPackageError
        As :func:`convert` does.
    VerificationError
        As :func:`permsolve.networks.compress_` does; nothing is written then.
    """

    def change(loaded: Loaded, executor: ResumingExecutor) -> CompressionReport:
        model = loaded.model
        wrapped = Outputs(model, states=loaded.states_are_read, one_by_one=True)
        wanted = chosen_layers(model, include, exclude)
        batches = read_batches(calibration, loaded.folder, model, samples, length)
        first = {name: values[:_EXAMPLES] for name, values in batches[0].items()}
        examples = example_calls(wrapped, loaded, inputs, first)
        with tracing(source, on_remark, examples):
            return networks.compress_(
                wrapped, examples.calls, calibration=batches, pattern=pattern, recipe=recipe, include=wanted,
                executor=executor, memory_limit=memory_limit, spool=None if memory_limit is None else target.parent,
                **options,
            )  # fmt: skip

    return convert(
        source, target, change, wishes=Wishes.of(leave_out, unchanged), force=force, on_done=on_done,
        on_remark=on_remark,
    )  # fmt: skip
