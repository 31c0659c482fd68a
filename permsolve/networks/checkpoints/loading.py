"""Making the model that a checkpoint folder describes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from permsolve.errors import FileFormatError, MissingPackageError
from permsolve.networks.checkpoints.files import Wishes
from permsolve.networks.checkpoints.folder import CONFIG, CheckpointFolder
from permsolve.networks.checkpoints.foreign import calling_package
from permsolve.networks.checkpoints.outputs import BATCHED
from permsolve.networks.checkpoints.sentences import read_by_modules
from permsolve.networks.checkpoints.stored import StoredTensors, account_for_tensors
from permsolve.networks.surroundings import ForAllThreads

_MISFITS = (
    ("missing_keys", "lacks tensors of the model"),
    ("mismatched_keys", "has tensors of other shapes than the model"),
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model, and the folder that it was loaded from.

    Attributes
    ----------
    model : PreTrainedModel
        The model, in evaluation mode.
    folder : CheckpointFolder
        Where it comes from, with all files of its weights.
    tensors : StoredTensors
        What becomes of each tensor of the folder.
    states_are_read : bool
        Whether others read its inner states: modules beside it, or another class that the folder names.
    """

    model: Any
    folder: CheckpointFolder
    tensors: StoredTensors
    states_are_read: bool


def transformers_package() -> Any:
    """The package `transformers`.

    Raises
    ------
    MissingPackageError
        When it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingPackageError(
            f"checkpoint folders need {error.name or 'transformers'}: pip install 'permsolve[hf]'"
        ) from error
    return transformers


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    log = transformers_package().utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


_QUIET = ForAllThreads(_quiet_transformers)


def quiet_transformers() -> AbstractContextManager[None]:
    """Have `transformers` make no remarks and show no bars; what the host program had set comes back.

    Raises
    ------
    MissingPackageError
        When it is not installed.
    """
    return _QUIET.set()


def load(folder: CheckpointFolder, wishes: Wishes) -> Loaded:
    """The model of the architecture that config.json names, with the weights of the folder, and what becomes of these.

    Nothing is fetched from elsewhere, no code of the folder is run, and nothing is unpickled. Where the checkpoint has
    more than the architecture, or less, a class of the same family that has exactly its tensors takes its place.

    Raises
    ------
    FileFormatError
        When `transformers` does not know the architecture, or a tensor of the checkpoint would be lost or out of step.
    MissingPackageError
        When `transformers` is not installed.
    """
    config = _read_config(folder)
    folder = folder.having(getattr(type(config), "extra_files", ()))
    problem: FileFormatError | None = None
    named, *others = _classes(folder, config)
    for known in (named, *others):
        try:
            model = load_as(known, config, folder)
            tensors = account_for_tensors(folder, model, wishes)
        except FileFormatError as error:
            problem = problem or error
            continue
        return Loaded(model, folder, tensors, read_by_modules(folder.path) or known is not named)
    assert problem is not None
    raise problem


def load_as(known: Any, config: Any, folder: CheckpointFolder) -> Any:
    """The weights of a folder in a model of the class ``known``.

    Raises
    ------
    FileFormatError
        When the model has tensors that the checkpoint lacks, or has in another shape.
    """
    remedy = "save the model again with this version of transformers, or convert it where it was made"
    with _alone(folder) as place, calling_package(folder.path, "transformers cannot load it", remedy, place):
        model, found = known.from_pretrained(
            place,
            config=config,
            dtype=getattr(torch, folder.widest),
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, in our words
        )
        # The default of mixtures runs over the experts that were chosen, which depends on the data: no graph has that.
        if "grouped_mm" in model.get_experts_implementation().values():
            model.set_experts_implementation(BATCHED)
    for kind, what in _MISFITS:
        if found.get(kind):
            listed = ", ".join(sorted(str(name) for name in found[kind])[:4])
            raise FileFormatError(
                f"{folder.path}: the checkpoint {what} ({known.__name__}): {listed}: name the class that it was saved "
                f"from under 'architectures' in {CONFIG}"
            )
    return model.eval()


@contextmanager
def _alone(folder: CheckpointFolder) -> Iterator[Path]:
    """A folder with config.json and the weights alone, as links.

    Whatever else lies in the folder, `transformers` would read it, too: settings of generation, adapters, code.
    """
    with tempfile.TemporaryDirectory(prefix="permsolve-") as place:
        for name in filter(None, (CONFIG, folder.index, *folder.shards)):
            os.symlink(os.path.realpath(folder.path / name), Path(place, name))
        yield Path(place)


def _read_config(folder: CheckpointFolder) -> Any:
    """What `transformers` makes of config.json."""
    transformers, file = transformers_package(), folder.path / CONFIG
    remedy = f"mend it; transformers {transformers.__version__} has to know its model_type"
    if "auto_map" in folder.config:
        remedy = (
            "its model is code of its own (auto_map), which is not run here: load it in Python with "
            "trust_remote_code=True, and permute it with permsolve.networks.permute_"
        )
    with _alone(folder) as place, calling_package(file, "transformers cannot read it", remedy, place / CONFIG):
        return transformers.AutoConfig.from_pretrained(place, local_files_only=True, trust_remote_code=False)


def _classes(folder: CheckpointFolder, config: Any) -> list[Any]:
    """Classes that may have the tensors of the folder, that which config.json names first."""
    transformers = transformers_package()
    found = []
    for name in (getattr(config, "architectures", None) or [])[:1]:
        known = getattr(transformers, str(name), None)
        if not (isinstance(known, type) and issubclass(known, transformers.PreTrainedModel)):
            raise FileFormatError(
                f"{folder.path / CONFIG}: transformers {transformers.__version__} has no architecture {name}: permute "
                "the model in Python with permsolve.networks.permute_"
            )
        found.append(known)
    whole = () if found else (transformers.AutoModelForCausalLM, transformers.AutoModelForSeq2SeqLM)
    for auto in (transformers.AutoModelForPreTraining, *whole, transformers.AutoModel):
        known = auto._model_mapping.get(type(config), None)
        found += [one for one in (known if isinstance(known, tuple) else (known,)) if one is not None]
    if not found:
        raise FileFormatError(
            f"{folder.path / CONFIG}: it names no architecture, and transformers {transformers.__version__} has none "
            f"for {config.model_type}: name the model's class under 'architectures'"
        )
    return list(dict.fromkeys(found))
