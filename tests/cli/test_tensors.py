"""Tensors of other types beside weights: integers, 8-bit floats, codes, text; what is passed over is named."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from permsolve.errors import FileFormatError
from permsolve.io.tensors_out import refuse_unheld, write_tensors
from permsolve.io.weight_file import open_weights
from tests.cli.conftest import Answer

Run = Callable[..., Answer]
GREEDY = ("--solver", "greedy", "--quiet")


def _matrix(seed: int = 0, shape: tuple[int, ...] = (8, 16)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _sparse() -> np.ndarray[Any, Any]:
    weight = _matrix()
    weight[:, 0::4] = weight[:, 1::4] = 0.0
    return weight


TABLES: dict[str, np.ndarray[Any, Any]] = {
    "position_ids": np.arange(512)[None],
    "index": np.random.default_rng(0).integers(0, 169, (49, 49)),
    "mask": np.tri(16, dtype=np.bool_),
    "half": np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8),
    "codes": np.random.default_rng(0).integers(-(2**31), 2**31, (16, 32), dtype=np.int32),
    "bytes": np.random.default_rng(0).integers(-127, 128, (4, 8)).astype(np.int8),
    "bias": np.ones(16, np.float32),
    "steps": np.array(7),
}
PERHAPS_WEIGHTS = ("half", "codes", "bytes")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_integers_are_taken_only_when_named(run: Run, tmp_path: Path, suffix: str) -> None:
    """`solve --all`, `apply --prune`: tables and codes come out bit for bit; one that is named is solved."""
    model, orders, pruned = (tmp_path / f"{name}{suffix}" for name in ("model", "orders", "pruned"))
    tensors = {**TABLES, "layer.weight": _matrix()}
    write_tensors(model, tensors)
    answer = run("solve", model, "--all", "--solver", "greedy", "--out", orders)
    assert answer.code == 0
    assert all(f"{name} (" in answer.err for name in PERHAPS_WEIGHTS)
    assert "position_ids" not in answer.err
    assert run("apply", model, orders, "--prune", "--out", pruned).code == 0
    file = open_weights(pruned)
    for name, tensor in TABLES.items():
        written = file.read(name)
        assert (written.dtype, written.tobytes()) == (tensor.dtype, tensor.tobytes()), name
    assert (file.read("layer.weight") == 0).sum() == _matrix().size // 2
    # The only matrix of floats needs no name; one of integers does, and is taken by it.
    assert run("solve", model, *GREEDY, "--out", tmp_path / "p.npy").code == 0
    assert np.load(tmp_path / "p.npy").size == 16
    for name in ("codes", "bytes", "index"):
        assert run("solve", model, "--tensor", name, *GREEDY, "--out", tmp_path / "p.npy").code == 0
        assert np.load(tmp_path / "p.npy").size == TABLES[name].shape[1]
        assert run("check", model, "--tensor", name).code in (0, 1)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_integers_alone_are_meant(run: Run, tmp_path: Path, suffix: str) -> None:
    """As nobody makes a file of one table."""
    model = tmp_path / f"m{suffix}"
    write_tensors(model, {"codes": TABLES["bytes"]})
    for options in ((), ("--all",)):
        assert run("solve", model, *options, *GREEDY).code == 0
        assert run("check", model, *options).code == 1
    assert "yes" in run("inspect", model).out


def test_only_integers_are_nothing_to_choose_from(run: Run, tmp_path: Path) -> None:
    """The line names them, and the option that takes one."""
    save_file({"a": TABLES["codes"], "b": TABLES["index"]}, tmp_path / "m.safetensors")
    for call in (("solve",), ("solve", "--all"), ("check", "--all"), ("bound",), ("lossless",)):
        answer = run(call[0], tmp_path / "m.safetensors", *call[1:])
        assert (answer.code, answer.out) == (2, "")
        assert "give --tensor (a, b)" in answer.err


def _stored(path: Path, dtype: str, shape: tuple[int, ...], data: bytes) -> None:
    """A file with a 2:4 weight and one tensor of a type that numpy may lack."""
    weight = _sparse()
    header = json.dumps(
        {
            "odd.weight": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]},
            "weight": {"dtype": "F32", "shape": [8, 16], "data_offsets": [len(data), len(data) + weight.nbytes]},
        }
    ).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data + weight.tobytes())


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "bfloat16", "float16"])
def test_small_floats_are_checked_and_solved(run: Run, tmp_path: Path, kind: str) -> None:
    """Whatever type of float .safetensors holds, a dense one is no 2:4, and comes back from `apply --prune` as 2:4."""
    model, orders, pruned = (tmp_path / f"{name}.safetensors" for name in ("m", "o", "p"))
    names = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "bfloat16": "BF16", "float16": "F16"}
    dense = _matrix().astype(np.dtype(getattr(ml_dtypes, kind, None) or kind))
    _stored(model, names[kind], (8, 16), dense.tobytes())
    checked = run("check", model, "--all")
    assert (checked.code, checked.err) == (1, "")
    assert "odd.weight: not 2:4: 8 of 8 rows" in checked.out
    assert run("inspect", model).code == 0
    assert run("solve", model, "--all", *GREEDY, "--out", orders).code == 0
    assert run("apply", model, orders, "--prune", "--out", pruned).code == 0
    assert run("check", pruned, "--all").code == 0
    assert open_weights(pruned).read("odd.weight").dtype == dense.dtype
    # Alone, too, by the package's own writer.
    alone = ("apply", model, orders, "--tensor", "odd.weight", "--out")
    assert run(*alone, tmp_path / "one.safetensors").code == 0
    np.testing.assert_array_equal(
        open_weights(tmp_path / "one.safetensors").read("odd.weight"), dense[:, load_file(orders)["odd.weight"]]
    )
    assert run(*alone, tmp_path / "one.npz").code == (2 if kind.startswith("float8") else 0)


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [("F4", (8, 16), 64), ("F8_E8M0", (8, 16), 128), ("C64", (8, 16), 1024), ("I32", (8, 16), 512), ("U8", (8, 8), 64)],
)
def test_what_cannot_be_checked_is_an_error(
    run: Run, tmp_path: Path, dtype: str, shape: tuple[int, ...], size: int
) -> None:
    """Named, with an exit code that is not that of a violation; a violation elsewhere keeps its own."""
    model = tmp_path / "m.safetensors"
    _stored(model, dtype, shape, bytes(size))
    infos = {info.name: info for info in open_weights(model).tensors()}
    checked = run("check", model, "--all")
    assert checked.code == 2
    assert "weight: all 8 rows" in checked.out
    assert "odd.weight: not checked: " in checked.out
    assert checked.err.count("\n") == 1
    assert f"1 tensor was not checked: odd.weight ({infos['odd.weight'].dtype})" in checked.err
    inspected = run("inspect", model)
    assert inspected.code == 2
    assert "odd.weight" in inspected.out
    assert "1 tensor was not looked at: odd.weight" in inspected.err
    assert run("check", model, "--all", "--pattern", "1:4").code == 1
    assert run("check", model).code == 0  # the one weight that was asked for
    orders = tmp_path / "o.safetensors"
    assert run("solve", model, "--all", *GREEDY, "--out", orders).code == 0
    assert run("apply", model, orders, "--prune", "--out", tmp_path / "p.safetensors").code == 0
    assert (tmp_path / "p.safetensors").read_bytes()[:300] == model.read_bytes()[:300]


OTHERS: dict[str, np.ndarray[Any, Any]] = {
    "names": np.array(["first", "second"]),
    "when": np.array(["2024-01-01", "2024-01-02"], "M8[s]"),
    "took": np.array([3, 4], "m8[s]"),
    "precise": np.ones((4, 4), np.longdouble),
    "wave": np.ones((4, 4), np.complex128),
    "rows": np.ones(3, [("x", "f4"), ("y", "i4")]),
    "raw": np.zeros(3, "V3"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_format_lacks_is_named(run: Run, tmp_path: Path, name: str) -> None:
    """An archive with it goes to another archive as it is, and to a .safetensors file not at all."""
    source, order = tmp_path / "s.npz", tmp_path / "p.npz"
    np.savez(source, allow_pickle=False, **{"weight": _matrix(), name: OTHERS[name]})
    assert run("solve", source, "--tensor", "weight", *GREEDY, "--out", order).code == 0
    answer = run("apply", source, order, "--out", tmp_path / "o.safetensors")
    assert answer.code == 2
    assert f"o.safetensors: a .safetensors file cannot hold {name!r} of type " in answer.err
    assert not (tmp_path / "o.safetensors").exists()
    assert run("apply", source, order, "--out", tmp_path / "o.npz").code == 0
    with np.load(tmp_path / "o.npz") as written:
        assert written[name].tobytes() == OTHERS[name].tobytes()
        np.testing.assert_array_equal(written["weight"], _matrix()[:, np.load(order)["weight"]])
    assert run("apply", source, order, "--tensor", "weight", "--out", tmp_path / "w.safetensors").code == 0


def test_pickled_objects_beside_a_weight(run: Run, tmp_path: Path) -> None:
    """They are never loaded; the weight alone can be."""
    source, order = tmp_path / "s.npz", tmp_path / "p.npz"
    np.savez(source, weight=_matrix(), things=np.array([{}, None], object))
    assert run("solve", source, "--all", *GREEDY, "--out", order).code == 0
    for suffix in (".npz", ".safetensors"):
        answer = run("apply", source, order, "--out", tmp_path / f"o{suffix}")
        assert answer.code == 2
        assert "s.npz: 'things' holds pickled objects, which are never loaded" in answer.err
        assert not (tmp_path / f"o{suffix}").exists()
    assert run("apply", source, order, "--tensor", "weight", "--out", tmp_path / "o.npz").code == 0


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".json"])
def test_names_of_files_need_not_be_unicode(run: Run, tmp_path: Path, suffix: str) -> None:
    """A weight called by bytes of another encoding is solved and applied by whatever name."""
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xfcn.npy"))
    try:
        np.save(source, _matrix())
    except OSError:
        pytest.skip("the file system takes no such name")
    out = tmp_path / f"p{suffix}"
    assert run("solve", source, *GREEDY, "--json" if suffix == ".json" else "--out", out).code == 0
    assert run("apply", source, out, "--out", tmp_path / "w.safetensors").code == 0
    assert run("inspect", source).code == 0
    assert run("solve", source, *GREEDY, "--out", Path(str(source)[:-4] + "-p.npy")).code == 0


@pytest.mark.parametrize("name", ["a\0b", "__metadata__", "\ud800"])
def test_names_that_a_format_lacks_show_before_the_search(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One line, which names them."""
    source = tmp_path / "s.npz"
    if name == "__metadata__":
        write_tensors(source, {name: _matrix()})
        monkeypatch.setattr("permsolve.api.solve", lambda *_, **__: pytest.fail("searched"))
        answer = run("solve", source, *GREEDY, "--out", tmp_path / "p.safetensors")
        assert answer.code == 2
        assert "can hold no tensor named '__metadata__'" in answer.err
    suffix = ".npz" if "\0" in name else ".safetensors"
    with pytest.raises(FileFormatError, match="can hold no"):
        refuse_unheld(tmp_path / f"p{suffix}", {name: np.dtype(np.int64)})


def test_arrays_of_one_name(run: Run, tmp_path: Path) -> None:
    """An archive may hold several: it is refused; names that only look alike are told apart."""
    write_tensors(tmp_path / "s.npz", {"a": _matrix(0), "a.npy": _matrix(1)})
    file = open_weights(tmp_path / "s.npz")
    np.testing.assert_array_equal(file.read("a"), _matrix(0))
    np.testing.assert_array_equal(file.read("a.npy"), _matrix(1))
    with zipfile.ZipFile(tmp_path / "s.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.npy", archive.read("a.npy"))
    answer = run("solve", tmp_path / "s.npz", "--all", *GREEDY)
    assert answer.code == 2
    assert "holds several arrays named 'a'" in answer.err


def test_thousands_of_tensors(run: Run, tmp_path: Path) -> None:
    """In a time that grows with their number, not with its square."""
    tensors = {f"layers.{number}.weight": _matrix(number, (2, 4)) for number in range(1000)}
    for suffix in (".npz", ".safetensors"):
        write_tensors(tmp_path / f"m{suffix}", tensors)
        assert run("check", tmp_path / f"m{suffix}", "--all").code == 1
    write_tensors(tmp_path / "o.safetensors", {name: np.array([1, 0, 3, 2]) for name in tensors})
    assert run("apply", tmp_path / "m.safetensors", tmp_path / "o.safetensors", "--out", tmp_path / "p.npz").code == 0
