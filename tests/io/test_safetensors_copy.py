"""Copying a checkpoint with some tensors replaced."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from permsolve.errors import FileFormatError
from permsolve.io.safetensors import SafetensorsFile
from permsolve.io.safetensors_copy import copy_safetensors


def _checkpoint(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "a": rng.normal(size=(4, 6)).astype(np.float32),
        "b": rng.normal(size=(3, 5)).astype(np.float16),
        "c": rng.integers(0, 9, 7),
    }
    save_file(tensors, path, metadata={"format": "pt"})
    return tensors


def test_only_the_replaced_tensor_differs(tmp_path: Path) -> None:
    """The new values are there; header, metadata and every other tensor are those of the source."""
    source, target = tmp_path / "m.safetensors", tmp_path / "n.safetensors"
    tensors = _checkpoint(source)
    copy_safetensors(source, target, {"b": lambda: tensors["b"][:, ::-1]})
    written = load_file(target)
    np.testing.assert_array_equal(written["b"], tensors["b"][:, ::-1])
    for name in ("a", "c"):
        np.testing.assert_array_equal(written[name], tensors[name])
    assert SafetensorsFile(target).metadata == {"format": "pt"}


def test_types_that_numpy_lacks_are_copied(tmp_path: Path) -> None:
    """An 8-bit float tensor beside the one replaced comes through byte for byte."""
    source, target = tmp_path / "m.safetensors", tmp_path / "n.safetensors"
    weight, eight_bit = np.arange(8, dtype=np.float32).reshape(2, 4), bytes(range(16))
    header = json.dumps(
        {
            "q": {"dtype": "F8_E4M3", "shape": [4, 4], "data_offsets": [0, 16]},
            "w": {"dtype": "F32", "shape": [2, 4], "data_offsets": [16, 48]},
        }
    ).encode()
    source.write_bytes(len(header).to_bytes(8, "little") + header + eight_bit + weight.tobytes())
    copy_safetensors(source, target, {"w": lambda: weight[:, ::-1]})
    assert target.read_bytes()[8 + len(header) :] == eight_bit + weight[:, ::-1].tobytes()


def test_a_tensor_of_another_size_is_refused(tmp_path: Path) -> None:
    """What does not fit where the old tensor was leaves no file."""
    source, target = tmp_path / "m.safetensors", tmp_path / "n.safetensors"
    tensors = _checkpoint(source)
    with pytest.raises(FileFormatError, match="the new 'a' has 48 bytes, the old 96"):
        copy_safetensors(source, target, {"a": lambda: tensors["a"][:2]})
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"\x02" + b"\0" * 7 + b"xx"])
def test_broken_headers_are_refused(tmp_path: Path, data: bytes) -> None:
    """A file that is no .safetensors file is named, and nothing is written."""
    source = tmp_path / "m.safetensors"
    source.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"m\.safetensors: not a \.safetensors file"):
        copy_safetensors(source, tmp_path / "n.safetensors", {})
    assert list(tmp_path.iterdir()) == [source]
