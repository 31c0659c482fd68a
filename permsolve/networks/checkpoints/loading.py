"""Making the model that a checkpoint folder describes."""

from typing import Any

import torch
from torch import nn

from permsolve.errors import FileFormatError, MissingPackageError
from permsolve.networks.checkpoints.folder import CONFIG, CheckpointFolder


def transformers_package() -> Any:
    """The package `transformers`, told to be quiet.

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
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def load_model(folder: CheckpointFolder) -> nn.Module:
    """The model of the architecture that config.json names, with the weights of the folder, in eval mode.

    Nothing is fetched from elsewhere, no code of the folder is run, and nothing is unpickled.

    Raises
    ------
    FileFormatError
        When `transformers` does not know the architecture, or model and checkpoint do not have the same tensors:
        what the model does not know could not follow a permutation.
    MissingPackageError
        When `transformers` is not installed.
    """
    transformers = transformers_package()
    try:
        config = transformers.AutoConfig.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        raise FileFormatError(f"{folder.path / CONFIG}: transformers cannot read it: {error}") from error
    names = getattr(config, "architectures", None) or []
    known = getattr(transformers, names[0], None) if names else None
    if known is None:
        raise FileFormatError(
            f"{folder.path / CONFIG}: transformers {transformers.__version__} has no architecture "
            f"{names[0] if names else '(none is named)'}"
        )
    if getattr(config, "quantization_config", None) is not None:
        raise FileFormatError(f"{folder.path}: the checkpoint is quantised: permute before quantising")
    model, found = known.from_pretrained(
        folder.path,
        config=config,
        dtype=getattr(torch, folder.widest),
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are refused below, in our words
    )
    for kind, what in (
        ("missing_keys", "lacks tensors of the model"),
        ("unexpected_keys", "has tensors that the model does not use, which could not follow"),
        ("mismatched_keys", "has tensors of other shapes than the model"),
    ):
        if found.get(kind):
            listed = ", ".join(sorted(str(name) for name in found[kind])[:4])
            raise FileFormatError(f"{folder.path}: the checkpoint {what} ({names[0]}): {listed}")
    # The default of mixtures runs over the experts that were chosen, which depends on the data: no graph has that.
    if "grouped_mm" in model.get_experts_implementation().values():
        model.set_experts_implementation("batched_mm")
    loaded: nn.Module = model.eval()
    return loaded
