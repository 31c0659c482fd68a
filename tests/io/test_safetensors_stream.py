"""Files written tensor by tensor, and arrays that lie on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

from permsolve.io.safetensors import SafetensorsFile
from permsolve.io.safetensors_stream import Pending, stream_safetensors
from permsolve.io.spool import Spool


def test_the_library_reads_what_is_streamed(tmp_path: Path) -> None:
    """Names, types, shapes, values and metadata; each tensor is made once, and can be mapped."""
    rng, path, made = np.random.default_rng(0), tmp_path / "t.safetensors", []
    arrays: dict[str, NDArray[Any]] = {
        "odd": rng.random((3, 5)).astype(np.float32), "double": rng.random(7), "empty": np.zeros((0, 4)),
        "turned": rng.random((4, 6)).T,
    }  # fmt: skip

    def pending(name: str) -> Pending:
        def make() -> NDArray[Any]:
            made.append(name)
            return arrays[name]

        return Pending(arrays[name].dtype, arrays[name].shape, make)

    stream_safetensors(path, {name: pending(name) for name in arrays}, {"made by": "us"})
    assert sorted(made) == sorted(arrays)
    with safe_open(str(path), framework="numpy") as file:
        assert file.metadata() == {"made by": "us"}
        assert set(file.keys()) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
            assert file.get_tensor(name).dtype == array.dtype
    mapped = SafetensorsFile(path).read("odd")
    np.testing.assert_array_equal(mapped, arrays["odd"])
    with pytest.raises(ValueError, match="read-only"):
        mapped[0, 0] = 1.0


def test_nothing_is_left_of_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    """The old one stays."""
    path = tmp_path / "t.safetensors"
    path.write_bytes(b"old")

    def fail() -> NDArray[Any]:
        raise MemoryError

    with pytest.raises(MemoryError):
        stream_safetensors(path, {"x": Pending(np.float64, (2,), fail)}, {})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_on_disk_outlive_their_spool(tmp_path: Path) -> None:
    """Of any type and shape, without a name in the folder."""
    rng = np.random.default_rng(0)
    arrays: list[NDArray[Any]] = [rng.random((3, 7)).astype(np.float32), rng.random((2, 5, 5)), rng.random((6, 4)).T]
    with Spool(tmp_path) as spool:
        mapped = [spool.put(array) for array in arrays]
    assert not list(tmp_path.iterdir())
    for one, other in zip(arrays, mapped, strict=True):
        np.testing.assert_array_equal(one, other)
        assert other.dtype == one.dtype
        assert not other.flags.writeable
