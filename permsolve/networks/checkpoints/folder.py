"""What a checkpoint folder holds, without loading it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from permsolve.errors import FileFormatError
from permsolve.io.reading import reading
from permsolve.io.safetensors import SafetensorsFile

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# Of config.json: the file of weights, where it has a name of its own.
_EXPLICIT = "transformers_weights"
# Types that hold weights as they are, and types of indices and flags; others are quantised.
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
PLAIN = frozenset({"int64", "int32", "bool"})
# Of config.json: how the weights are quantised.
_QUANTISED = ("quantization_config", "compression_config")


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """A folder with config.json and safetensors shards.

    Attributes
    ----------
    path : Path
        The folder.
    shards : dict of str to dict of str to str
        By file name of the shard, for each tensor in it, its type in numpy's words.
    index : str or None
        Name of the file that lists the shards.
    config : dict
        What config.json says.
    """

    path: Path
    shards: dict[str, dict[str, str]]
    index: str | None
    config: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> "CheckpointFolder":
        """Read config.json, the index and the headers of all shards.

        Raises
        ------
        FileFormatError
            When a file is missing or damaged, or the weights are in another format, or quantised.
        """
        if not path.is_dir():
            raise FileFormatError(f"{path}: not a folder: give the one that holds {CONFIG}")
        if not (path / CONFIG).is_file():
            raise FileFormatError(f"{path}: no {CONFIG}: not a Hugging Face checkpoint")
        config = _config(path / CONFIG)
        index, names = _shard_names(path, config)
        return cls(path, {name: _types(path / name) for name in names}, index, config)

    def having(self, names: Iterable[str]) -> "CheckpointFolder":
        """With further files of weights that belong to the model, where they are there."""
        found = [name for name in names if (self.path / name).is_file()]
        return replace(self, shards=self.shards | {name: _types(self.path / name) for name in found})

    @property
    def widest(self) -> str:
        """The float type, in torch's words too, that holds all its weights exactly.

        Raises
        ------
        FileFormatError
            When there is none, since the weights are quantised.
        """
        types = {name: kind for types in self.shards.values() for name, kind in types.items()}
        kinds = set(types.values()) - PLAIN
        if kinds - FLOATS or not kinds:
            listed = ", ".join(sorted(kinds - FLOATS)) or "integers"
            example = next((f"{name}: " for name, kind in types.items() if kind not in FLOATS | PLAIN), "")
            raise FileFormatError(
                f"{self.path}: {example}the weights are quantised ({listed}): permute before quantising"
            )
        if kinds <= {"float16"} or kinds <= {"bfloat16"}:
            return kinds.pop()
        return "float64" if "float64" in kinds else "float32"


def _config(file: Path) -> dict[str, Any]:
    with reading(file, "a model's configuration"):
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise FileFormatError("it holds no JSON object")
    if _says(config, _QUANTISED):
        raise FileFormatError(f"{file}: the checkpoint is quantised: permute before quantising")
    return config


def _says(config: dict[str, Any], keys: Iterable[str]) -> bool:
    """Whether a configuration, or one inside of it, has one of the keys."""
    inner = [value for value in config.values() if isinstance(value, dict)]
    return any(config.get(key) for key in keys) or any(_says(value, keys) for value in inner)


def _shard_names(path: Path, config: dict[str, Any]) -> tuple[str | None, list[str]]:
    """The index, if there is one, and the files of weights that `transformers` would read."""
    explicit = config.get(_EXPLICIT)
    for name in (str(explicit),) if explicit is not None else (SINGLE, INDEX):
        if Path(name).name != name:
            raise FileFormatError(f"{path / CONFIG}: {_EXPLICIT} names {name}, which is outside of the folder")
        if (path / name).is_file():
            return (name, _indexed(path, name)) if name.endswith(".index.json") else (None, [name])
    if explicit is not None:
        raise FileFormatError(f"{path}: {CONFIG} names {explicit} as its weights, which is not there")
    raise FileFormatError(
        f"{path}: neither {SINGLE} nor {INDEX}: other formats are not read; save the model with "
        "model.save_pretrained(folder)"
    )


def _indexed(path: Path, index: str) -> list[str]:
    with reading(path / index, "an index of shards"):
        weight_map = json.loads((path / index).read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(name) for name in weight_map.values()})
        if any(Path(name).name != name for name in names):
            raise FileFormatError("a shard is outside of the folder")
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise FileFormatError(f"{path}: {index} names {missing[0]}, which is not there")
    return names


def _types(shard: Path) -> dict[str, str]:
    return {info.name: info.dtype for info in SafetensorsFile(shard).tensors()}
