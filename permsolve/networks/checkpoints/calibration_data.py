"""Calibration data for a checkpoint: texts, or arguments of its model."""

import inspect
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading
from permsolve.networks.checkpoints.folder import CheckpointFolder
from permsolve.networks.checkpoints.foreign import calling_package
from permsolve.networks.checkpoints.loading import transformers_package

_MEND = "mend the arguments, or leave out those that it does not need"
# Samples that the model is called with at a time.
BATCH = 8


def read_batches(
    path: Path, folder: CheckpointFolder, model: Any, samples: int, length: int
) -> list[dict[str, Tensor]]:
    """Read calibration data.

    Parameters
    ----------
    path : Path
        ``.txt``: UTF-8, one text a line, for the tokenizer of the folder. A model that generates reads the tokens of
        all lines in sequences of ``length``; one that does not reads each line for itself, cut off there, without
        padding.
        ``.npz``: arguments of the model by name, one sample along the first axis.
    folder : CheckpointFolder
        Where the tokenizer is.
    model : PreTrainedModel
        The model.
    samples : int
        How many at most, evenly spaced where there are more.
    length : int
        Tokens of a text at most; fewer where the model takes fewer.

    Returns
    -------
    list of dict of str to Tensor
        Arguments by name, samples of the same shape together.

    Raises
    ------
    FileFormatError
        When the file cannot be read, there is no tokenizer, or the model cannot be called with what it holds.
    """
    if path.suffix == ".npz":
        batches = _of_arrays(path, model, samples)
    elif path.suffix == ".txt":
        batches = _of_texts(path, folder, model, samples, length)
    else:
        raise FileFormatError(f"{path}: calibration data are texts (.txt) or arguments of the model by name (.npz)")
    with calling_package(path, f"{type(model).__name__} cannot be called with it", _MEND), torch.no_grad():
        model(**batches[0])
    return batches


def read_call(path: Path, model: Any) -> dict[str, Tensor]:
    """Arguments of one call of a model, by name, from an .npz file.

    Raises
    ------
    FileFormatError
        When the file cannot be read, or the model has no such argument.
    """
    return {name: _tensor(array, model) for name, array in _read_arrays(path, model).items()}


def _read_arrays(path: Path, model: Any) -> dict[str, NDArray[Any]]:
    with reading(path, "an .npz file of arrays"), path.open("rb") as stream:
        archive = np.load(stream, allow_pickle=False)
        arrays = {name: archive[name] for name in archive.files}
    known = inspect.signature(model.forward).parameters
    for name, array in arrays.items():
        if name not in known:
            raise FileFormatError(f"{path}: {type(model).__name__} has no argument {name!r}: {', '.join(known)}")
        _check(path, name, array)
    return arrays


def _of_arrays(path: Path, model: Any, samples: int) -> list[dict[str, Tensor]]:
    arrays = _read_arrays(path, model)
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items()) or "there are none"
        raise FileFormatError(f"{path}: all arrays have one sample along their first axis, and at least one: {listed}")
    chosen = _spread(next(iter(counts.values())), samples)
    tensors = {name: _tensor(array[chosen], model) for name, array in arrays.items()}
    return [
        {name: tensor[start : start + BATCH] for name, tensor in tensors.items()}
        for start in range(0, len(chosen), BATCH)
    ]


def _check(path: Path, name: str, array: NDArray[Any]) -> None:
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise FileFormatError(f"{path}: {name!r} is {array.dtype} of shape {array.shape}: give an array of numbers")
    if not np.isfinite(array).all():
        raise FileFormatError(f"{path}: {name!r} holds NaN or infinity: clean the data")


def _tensor(array: NDArray[Any], model: Any) -> Tensor:
    if array.dtype.kind == "f":
        return torch.from_numpy(array.astype(np.float64)).to(model.device, model.dtype)
    return torch.from_numpy(array if array.dtype.kind == "b" else array.astype(np.int64)).to(model.device)


def _of_texts(path: Path, folder: CheckpointFolder, model: Any, samples: int, length: int) -> list[dict[str, Tensor]]:
    if model.main_input_name != "input_ids" or model.config.is_encoder_decoder:
        raise FileFormatError(
            f"{path}: {type(model).__name__} does not read one text alone: give its arguments by name in an .npz file"
        )
    with reading(path, "a UTF-8 text file"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise FileFormatError(f"{path}: there is no text in it: give one text a line")
    tokenizer = _tokenizer(path, folder)
    limit = min(length, tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", length))
    remedy = "give the model's arguments by name in an .npz file"
    with calling_package(path, f"the tokenizer of {folder.path} cannot read it", remedy):
        tokens: list[list[int]] = tokenizer(lines, verbose=False)["input_ids"]
    vocabulary = model.config.get_text_config().vocab_size
    highest = max((max(line, default=0) for line in tokens), default=0)
    if highest >= vocabulary:
        raise FileFormatError(f"{folder.path}: its tokenizer gives token {highest}, but its model knows {vocabulary}")
    if model.can_generate():
        joined = [token for line in tokens for token in line]
        sequences = [joined[start : start + limit] for start in range(0, len(joined), limit)]
        if len(sequences) > 1 and len(sequences[-1]) < limit:
            sequences.pop()
    else:
        sequences = [line[:limit] for line in tokens]
    by_length: dict[int, list[list[int]]] = defaultdict(list)
    for place in _spread(len(sequences), samples):
        by_length[len(sequences[place])].append(sequences[place])
    by_length.pop(0, None)  # texts without a token
    if not by_length:
        raise FileFormatError(f"{path}: the tokenizer of {folder.path} finds no token in it")
    return [
        {"input_ids": torch.tensor(same[start : start + BATCH], device=model.device)}
        for _, same in sorted(by_length.items(), reverse=True)
        for start in range(0, len(same), BATCH)
    ]


def _tokenizer(path: Path, folder: CheckpointFolder) -> Any:
    transformers = transformers_package()
    remedy = f"{path.name} cannot be read without a tokenizer: give the model's arguments by name in an .npz file"
    with calling_package(folder.path, "no tokenizer that transformers can load", remedy):
        return transformers.AutoTokenizer.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)


def _spread(count: int, wanted: int) -> NDArray[np.int64]:
    """Places of at most ``wanted`` of ``count`` samples."""
    return np.arange(count) if count <= wanted else np.linspace(0, count - 1, wanted).astype(np.int64)
