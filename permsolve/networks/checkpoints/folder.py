"""What a checkpoint folder holds, without loading it."""

import json
from dataclasses import dataclass
from pathlib import Path

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading
from permsolve.io.safetensors import SafetensorsFile

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# Other formats of weights: copies of what is permuted here, which would be out of date.
OTHER_WEIGHTS = frozenset({".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx", ".safetensors"})
# Types that hold weights as they are, and types of indices and flags; others are quantised.
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
PLAIN = frozenset({"int64", "int32", "bool"})


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """A folder with config.json and safetensors shards.

    Attributes
    ----------
    path : Path
        The folder.
    shards : dict of str to dict of str to str
        By file name of the shard, for each tensor in it, its type in numpy's words.
    """

    path: Path
    shards: dict[str, dict[str, str]]

    @classmethod
    def open(cls, path: Path) -> "CheckpointFolder":
        """Read the index and the headers of all shards.

        Raises
        ------
        FileFormatError
            When a file is missing or damaged, or the weights are in another format.
        """
        if not path.is_dir():
            raise FileFormatError(f"{path}: not a folder: give the one that holds {CONFIG}")
        if not (path / CONFIG).is_file():
            raise FileFormatError(f"{path}: no {CONFIG}: not a Hugging Face checkpoint")
        return cls(path, {name: _types(path / name) for name in _shard_names(path)})

    @property
    def types(self) -> dict[str, str]:
        """Type of every tensor, by name."""
        return {name: kind for types in self.shards.values() for name, kind in types.items()}

    @property
    def widest(self) -> str:
        """The float type, in torch's words too, that holds all its weights exactly.

        Raises
        ------
        FileFormatError
            When there is none, since the weights are quantised.
        """
        kinds = set(self.types.values()) - PLAIN
        if kinds - FLOATS or not kinds:
            listed = ", ".join(sorted(kinds - FLOATS)) or "integers"
            raise FileFormatError(f"{self.path}: the weights are quantised ({listed}): permute before quantising")
        if kinds <= {"float16"} or kinds <= {"bfloat16"}:
            return kinds.pop()
        return "float64" if "float64" in kinds else "float32"

    def other_files(self) -> tuple[list[Path], list[Path]]:
        """Paths in the folder, relative to it: files to copy as they are, and weights in other formats."""
        files = [file.relative_to(self.path) for file in sorted(self.path.rglob("*")) if file.is_file()]
        files = [file for file in files if str(file) not in self.shards and not _hidden(file)]
        return (
            [file for file in files if file.suffix.lower() not in OTHER_WEIGHTS],
            [file for file in files if file.suffix.lower() in OTHER_WEIGHTS],
        )


def _hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


def _shard_names(path: Path) -> list[str]:
    index = path / INDEX
    if index.is_file():
        with reading(index, "an index of shards"):
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            if any(Path(name).name != name for name in names):
                raise FileFormatError("a shard is outside of the folder")
        missing = [name for name in names if not (path / name).is_file()]
        if missing:
            raise FileFormatError(f"{path}: {INDEX} names {missing[0]}, which is not there")
        return names
    if (path / SINGLE).is_file():
        return [SINGLE]
    raise FileFormatError(
        f"{path}: neither {SINGLE} nor {INDEX}: other formats are not read; save the model with "
        "model.save_pretrained(folder)"
    )


def _types(shard: Path) -> dict[str, str]:
    return {info.name: info.dtype for info in SafetensorsFile(shard).tensors()}
