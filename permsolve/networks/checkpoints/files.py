"""Which files of a checkpoint folder are copied beside the weights, which are left out, and which forbid it all."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from permsolve.errors import FileFormatError, InvalidOptionError
from permsolve.networks.checkpoints.folder import CheckpointFolder
from permsolve.networks.checkpoints.sentences import module_folders

# The same weights in a format that is not read here: in the old order, they would not fit the other files any more.
_COPIES = (
    "pytorch_model*.bin", "pytorch_model*.bin.index.json", "tf_model*.h5", "tf_model*.h5.index.json",
    "flax_model*.msgpack", "flax_model*.msgpack.index.json", "model.ckpt*", "rust_model.ot", "*.gguf",
    "*.onnx", "*.onnx_data", "*.onnx.data", "*.tflite", "onnx/*", "openvino/*", "openvino_model*", "coreml/*",
    "consolidated*.safetensors", "consolidated*.safetensors.index.json", "consolidated*.pth", "original/*",
)  # fmt: skip
# What trainers write beside a model: settings, and states that belong to no axis of it.
_SETTINGS = ("training_args.bin", "scheduler.pt", "scaler.pt", "rng_state*.pth", "*events.out.tfevents.*")
_ADAPTERS = ("adapter_config.json", "adapter_model*")
# Binary files that hold no weights: tokenizers, pictures, sounds, documents.
_HARMLESS = frozenset(
    {
        ".model", ".spm", ".vocab", ".tiktoken", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".ico", ".svg",
        ".pdf", ".wav", ".mp3", ".flac", ".ogg", ".m4a", ".mp4", ".webm", ".avi", ".mov", ".ttf", ".pyc",
    }
)  # fmt: skip
# Text, whatever it is encoded in.
_TEXT = frozenset({".json", ".jsonl", ".txt", ".md", ".py", ".yaml", ".yml", ".toml", ".csv", ".tsv", ".html", ".xml"})
# Text by content or not, these are weights.
_WEIGHTS = frozenset(
    {
        ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".hdf5", ".msgpack", ".gguf", ".onnx", ".npz", ".npy",
        ".pkl", ".pickle", ".joblib", ".ot", ".tflite", ".pdparams", ".nemo", ".keras", ".mlmodel", ".params",
    }
)  # fmt: skip
_SAMPLE = 1 << 16

OLD_ORDER = "its weights are in another format, and were not permuted"
AS_TOLD = "as --leave-out says"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user knows of files and tensors that this package cannot account for.

    Attributes
    ----------
    leave_out, unchanged : tuple of str
        Globs of paths in the folder, or of names of tensors: what the output shall not have, and what reads nothing
        that is permuted, so that it is copied as it is.
    """

    leave_out: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    @classmethod
    def of(cls, leave_out: Iterable[str] | None, unchanged: Iterable[str] | None) -> "Wishes":
        """Of globs; None for none."""
        return cls(tuple(leave_out or ()), tuple(unchanged or ()))

    def check(self, names: Iterable[str]) -> None:
        """Refuse a glob that is about none of the names."""
        known = list(names)
        for option, globs in (("--leave-out", self.leave_out), ("--unchanged", self.unchanged)):
            for glob in globs:
                if not any(matches(name, (glob,)) for name in known):
                    raise InvalidOptionError(
                        f"{option} {glob!r}: no file beside the model and no tensor unknown to it has such a name"
                    )


@dataclass(frozen=True, slots=True)
class OtherFiles:
    """Files beside the weights of the model, relative to the folder.

    Attributes
    ----------
    copied : tuple of Path
        Those that are copied as they are.
    left_out : dict of str to str
        Those that the output does not have -> why.
    """

    copied: tuple[Path, ...]
    left_out: dict[str, str]


def matches(name: str, globs: Sequence[str]) -> bool:
    """Whether one of the globs is about a file or a tensor."""
    return any(fnmatchcase(name, glob) for glob in globs)


def account_for_files(folder: CheckpointFolder, wishes: Wishes) -> OtherFiles:
    """Decide about every file of a folder that is not among the weights of its model.

    Raises
    ------
    FileFormatError
        When a file may hold weights that read what is permuted, or cannot be copied; it names the file.
    """
    modules = module_folders(folder.path)
    copied: list[Path] = []
    left_out: dict[str, str] = {}
    for file in _listed(folder.path):
        name = file.as_posix()
        if name in folder.shards:
            continue
        if matches(name, wishes.leave_out):
            left_out[name] = AS_TOLD
        elif matches(name, wishes.unchanged):
            copied.append(file)
        elif not (folder.path / file).is_file():
            raise FileFormatError(
                f"{folder.path / file}: not a file that can be copied (a broken link, a pipe or a device): remove it, "
                f"or leave it out with --leave-out {name!r}"
            )
        elif matches(file.name, _ADAPTERS):
            raise FileFormatError(
                f"{folder.path / file}: an adapter beside the model would not fit it any more: merge it into the model "
                f"first, or leave it out with --leave-out '{_beside(file)}adapter_*'"
            )
        elif any(name.startswith(f"{module}/") for module in modules):
            copied.append(file)  # modules that read what the model returns, whose order stays
        elif matches(name, _COPIES):
            left_out[name] = OLD_ORDER
        elif matches(file.name, _SETTINGS) or _harmless(folder.path / file):
            copied.append(file)
        else:
            raise FileFormatError(
                f"{folder.path / file}: it may hold weights that read what is permuted, and it is no part of the model "
                f"that config.json names: leave it out with --leave-out {name!r}, or copy it with --unchanged {name!r} "
                "if it reads nothing but inputs and outputs of the model"
            )
    return OtherFiles(tuple(copied), left_out)


def _listed(path: Path) -> list[Path]:
    """All files below a folder, relative to it, behind links too; hidden ones aside."""
    found = []
    seen = set()
    for place, folders, files in os.walk(path, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if real in seen:  # a link to a folder around it
            folders[:] = []
            continue
        seen.add(real)
        found += [Path(place, name).relative_to(path) for name in sorted(files) if not name.startswith(".")]
    return found


def _beside(file: Path) -> str:
    return "" if file.parent == Path() else f"{file.parent.as_posix()}/"


def _harmless(file: Path) -> bool:
    """Whether a file holds no weights: text, or binary data of a kind that has none."""
    suffix = file.suffix.lower()
    if suffix in _WEIGHTS:
        return False
    if suffix in _HARMLESS:
        return True
    with file.open("rb") as stream:
        sample = stream.read(_SAMPLE)
    if b"\0" in sample or suffix in _TEXT:
        return b"\0" not in sample
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        return len(sample) == _SAMPLE and error.start > _SAMPLE - 4  # a letter that is cut off
    return True
