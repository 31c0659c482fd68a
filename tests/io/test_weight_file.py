"""Reading weights from every kind of file."""

import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from permsolve.errors import FileFormatError
from permsolve.io.tensors_out import write_tensors
from permsolve.io.weight_file import choose_tensor, open_weights

DTYPES = ["float16", "float32", "float64", "int8", "bfloat16", ">f4", ">f8", "<i2"]


def _weight(dtype: str, shape: tuple[int, ...] = (6, 8)) -> np.ndarray:
    values = np.arange(np.prod(shape)).reshape(shape) - 20
    return values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_every_dtype_and_order(tmp_path: Path, dtype: str, order: str) -> None:
    """A .npy comes back value for value, byte-swapped and Fortran order included, bfloat16 as itself."""
    weight = np.asarray(_weight(dtype), order=order)  # type: ignore[call-overload]
    path = tmp_path / "w.npy"
    np.save(path, weight)
    file = open_weights(path)
    read = file.read(choose_tensor(file, None).name)
    assert read.astype(np.float64).tolist() == weight.astype(np.float64).tolist()


def test_npy_is_a_memory_map(tmp_path: Path) -> None:
    """The file is mapped, not loaded."""
    np.save(tmp_path / "w.npy", _weight("float32"))
    array = open_weights(tmp_path / "w.npy").read("w")
    assert isinstance(array, np.memmap)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_named_tensors(tmp_path: Path, suffix: str) -> None:
    """Tensors are listed with shape, dtype and eligibility, and read by name."""
    path = tmp_path / f"model{suffix}"
    tensors = {
        "fc.weight": _weight("float32"),
        "fc.bias": _weight("float32", (6,)),
        "conv/weight": _weight("float16", (4, 8, 3, 3)),
        "half": _weight("bfloat16"),
        "flags": np.ones((3, 4), np.bool_),
        "empty": np.ones((0, 4), np.float32),
    }
    write_tensors(path, tensors)
    file = open_weights(path)
    infos = {info.name: info for info in file.tensors()}
    assert set(infos) == set(tensors)
    assert {name for name, info in infos.items() if info.eligible} == {"fc.weight", "conv/weight", "half"}
    assert infos["half"].dtype == "bfloat16"
    assert infos["conv/weight"].shape == (4, 8, 3, 3)
    for name in ("fc.weight", "half", "conv/weight"):
        np.testing.assert_array_equal(file.read(name), tensors[name])
    with pytest.raises(FileFormatError, match="holds 3 weights, name one of them by --tensor"):
        choose_tensor(file, None)
    with pytest.raises(FileFormatError, match="needs 2 to 5 dimensions"):
        choose_tensor(file, "fc.bias")
    with pytest.raises(FileFormatError, match="no tensor 'fc'"):
        choose_tensor(file, "fc")


def test_safetensors_keep_metadata(tmp_path: Path) -> None:
    """Metadata of a .safetensors file is at hand for copies of it."""
    save_file({"w": _weight("float32")}, tmp_path / "m.safetensors", metadata={"format": "pt"})
    assert open_weights(tmp_path / "m.safetensors").metadata == {"format": "pt"}  # type: ignore[attr-defined]


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    """Object arrays are refused with a reason, in .npy and .npz."""
    array = np.array([[1, "a"]], object)
    np.save(tmp_path / "o.npy", array, allow_pickle=True)
    with pytest.raises(FileFormatError, match="pickle"):
        open_weights(tmp_path / "o.npy")
    np.savez(tmp_path / "o.npz", w=array)
    with pytest.raises(FileFormatError, match="cannot be permuted"):
        choose_tensor(open_weights(tmp_path / "o.npz"), None)


def test_archive_that_lies_about_its_size(tmp_path: Path) -> None:
    """A header that claims terabytes is refused before anything is allocated."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("w.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 20)}
        )
    with pytest.raises(FileFormatError, match="claims 4398046511104 bytes"):
        open_weights(path)


@pytest.mark.parametrize("name", ["w.txt", "w", "w.pt"])
def test_unknown_endings(tmp_path: Path, name: str) -> None:
    """The ending decides the format; others are refused with the list of known ones."""
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FileFormatError, match=r"name it \.npy, \.npz, \.safetensors"):
        open_weights(tmp_path / name)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    """What the file system refuses stays an OSError."""
    with pytest.raises(FileNotFoundError):
        open_weights(tmp_path / "none.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(IsADirectoryError):
        open_weights(tmp_path / "folder.npy")


def test_nothing_half_written(tmp_path: Path) -> None:
    """A write that fails leaves the old file and no temporary one."""
    path = tmp_path / "p.npy"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="Object arrays"):
        write_tensors(path, {"w": np.array([object()])})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
