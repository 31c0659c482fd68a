"""A thousand malformed or odd files: a documented exit code, one line at most, nothing left behind."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save

from permsolve import Problem, solve
from tests.cli.conftest import run_command

FILES = 1000
CODES = {0, 1, 2, 3}
Maker = Callable[[np.random.Generator], tuple[str, bytes]]


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _npz(**arrays: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **arrays)
    return stream.getvalue()


def _matrix(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.normal(size=(int(rng.integers(1, 6)), int(rng.integers(1, 10)))).astype(np.float32)


def _valid(rng: np.random.Generator) -> tuple[str, bytes]:
    array = _matrix(rng)
    kind = int(rng.integers(3))
    return [(".npy", _npy(array)), (".npz", _npz(w=array)), (".safetensors", save({"w": array}))][kind]


def _truncated(rng: np.random.Generator) -> tuple[str, bytes]:
    suffix, data = _valid(rng)
    return suffix, data[: int(rng.integers(0, len(data)))]


def _mutated(rng: np.random.Generator) -> tuple[str, bytes]:
    suffix, data = _valid(rng)
    broken = bytearray(data)
    for _ in range(int(rng.integers(1, 8))):
        broken[int(rng.integers(len(broken)))] = int(rng.integers(256))
    return suffix, bytes(broken)


def _wrong_suffix(rng: np.random.Generator) -> tuple[str, bytes]:
    _, data = _valid(rng)
    return str(rng.choice([".npy", ".npz", ".safetensors", ".pt", ""])), data


def _random_bytes(rng: np.random.Generator) -> tuple[str, bytes]:
    return str(rng.choice([".npy", ".npz", ".safetensors"])), rng.bytes(int(rng.integers(0, 300)))


def _pickled(rng: np.random.Generator) -> tuple[str, bytes]:
    return str(rng.choice([".npy", ".npz", ".safetensors"])), pickle.dumps({"w": [1, 2, 3]})


def _odd_dtype(rng: np.random.Generator) -> tuple[str, bytes]:
    array = _matrix(rng)
    odd = [
        array.astype(object),
        array.astype(complex),
        array > 0,
        array.astype("U4"),
        array.astype([("a", "f4")]),
        array.astype("datetime64[s]"),
        array.astype(">f8"),
        array.astype(ml_dtypes.bfloat16),
        np.asfortranarray(array),
        array.astype(np.longdouble),
        np.full_like(array, -128).astype(np.int8),
        np.full(array.shape, 2**63 - 1),
    ][int(rng.integers(12))]
    return (".npy", _npy(odd)) if rng.random() < 0.5 else (".npz", _npz(w=odd))


def _odd_value(rng: np.random.Generator) -> tuple[str, bytes]:
    array = _matrix(rng).astype(np.float64)
    array.flat[int(rng.integers(array.size))] = rng.choice([np.nan, np.inf, -np.inf, 1e308, 5e-324, 0.0])
    return ".npy", _npy(array)


def _odd_shape(rng: np.random.Generator) -> tuple[str, bytes]:
    shapes = [
        (),
        (5,),
        (0, 4),
        (4, 0),
        (1, 1),
        (3, 1),
        (1, 9),
        (2, 3, 1, 1, 1),
        (1, 2, 1, 1, 1, 1),
        (2, 4, 0),
        (0,),
    ]
    return ".npy", _npy(np.ones(shapes[int(rng.integers(len(shapes)))], np.float32))


def _huge_header(rng: np.random.Generator) -> tuple[str, bytes]:
    shape = (int(rng.integers(1, 1 << 40)), int(rng.integers(1, 1 << 20)))
    if rng.random() < 0.3:
        header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * shape[0] * shape[1]]}})
        return ".safetensors", len(header).to_bytes(8, "little") + header.encode()
    if rng.random() < 0.3:
        return ".safetensors", int(rng.integers(1 << 62)).to_bytes(8, "little") + b"{}"
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    if rng.random() < 0.5:
        return ".npy", stream.getvalue() + b"\0" * 64
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("w.npy", stream.getvalue())
    return ".npz", archive.getvalue()


def _odd_archive(rng: np.random.Generator) -> tuple[str, bytes]:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in ("readme.txt", "w.npy", "../w.npy")[: int(rng.integers(0, 4))]:
            file.writestr(name, rng.bytes(40))
    return ".npz", stream.getvalue()


def _result_file(rng: np.random.Generator) -> tuple[str, bytes]:
    """A result, several results or no result as JSON, whole or with some bytes changed."""
    problem = Problem(np.abs(_matrix(rng)), "2:4")
    document: Any = solve(problem, "identity").to_dict()
    if rng.random() < 0.5:
        del document[str(rng.choice(sorted(document)))]
    if rng.random() < 0.3:
        document = {"tensors": {"w": document}}
    data = bytearray(json.dumps(document).encode())
    for _ in range(int(rng.integers(3))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    return ".json", bytes(data)


MAKERS: list[Maker] = [
    _valid,
    _truncated,
    _mutated,
    _wrong_suffix,
    _random_bytes,
    _pickled,
    _odd_dtype,
    _odd_value,
    _odd_shape,
    _huge_header,
    _odd_archive,
    _result_file,
]


def _cases() -> Iterator[tuple[int, str, bytes]]:
    for number in range(FILES):
        suffix, data = MAKERS[number % len(MAKERS)](np.random.default_rng(number))
        yield number, suffix, data


def test_a_thousand_odd_files(tmp_path: Path) -> None:
    """solve, apply, check and inspect survive every file; failures are one line and write nothing."""
    permutation = tmp_path / "p.npy"
    np.save(permutation, np.arange(4))
    seen: dict[str, set[int]] = {}
    for number, suffix, data in _cases():
        path = tmp_path / f"f{number}{suffix}"
        path.write_bytes(data)
        turn = number // len(MAKERS)  # every kind of file meets every command, solver and saliency
        outputs = [tmp_path / "out.npy", tmp_path / "out.json"]
        calls: list[tuple[object, ...]] = [
            (
                "solve",
                path,
                "--solver",
                ("greedy", "identity")[turn % 2],
                "--saliency",
                ("magnitude", "squared")[turn // 2 % 2],
                "--out",
                outputs[0],
                "--json",
                outputs[1],
                "--quiet",
            ),
            [
                ("apply", path, permutation, "--out", outputs[0], "--prune"),
                ("apply", permutation, path, "--out", outputs[0]),
                ("check", path),
                ("inspect", path),
            ][turn % 4],
        ]
        for call in calls:
            answer = run_command(*call)
            assert answer.code in CODES, (number, call, answer)
            assert answer.err.count("\n") == (1 if answer.code in (2, 3) else 0), (number, call, answer)
            if answer.code in (2, 3):
                assert answer.err.startswith("permsolve: error: ")
                assert answer.err.rstrip("\n").isprintable(), (number, call, answer)
                named = path.name in answer.err or permutation.name in answer.err
                assert named or "out of memory" in answer.err, (number, call, answer)
                assert not any(output.exists() for output in outputs), (number, call)
            for output in outputs:
                output.unlink(missing_ok=True)
            assert sorted(tmp_path.iterdir()) == sorted([path, permutation]), (number, call)
            seen.setdefault(MAKERS[number % len(MAKERS)].__name__, set()).add(answer.code)
        path.unlink()
    assert 0 in seen["_valid"]
    assert seen["_pickled"] == {2}
