"""Weights of every type and shape, read as matrices."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from permsolve.errors import InvalidProblemError
from permsolve.problem import Problem
from permsolve.weights import as_matrix, as_weight, matrix_shape, row_blocks, working_dtype


@pytest.mark.parametrize(
    ("dtype", "working"),
    [
        (np.float16, np.float32),
        (ml_dtypes.bfloat16, np.float32),
        (ml_dtypes.float8_e4m3fn, np.float32),
        (np.float32, np.float32),
        (">f4", np.float32),
        (np.float64, np.float64),
        (np.int8, np.float32),
        (np.uint8, np.float32),
        (np.int16, np.float32),
        (np.int32, np.float64),
        (np.int64, np.float64),
    ],
)
def test_each_type_keeps_its_values(dtype: Any, working: Any) -> None:
    """The working type holds every value of the given one exactly."""
    weight = np.array([[0, 1, 2, 3], [4, 5, 6, 7]]).astype(dtype)
    problem = Problem.from_weight(weight, "2:4")
    assert working_dtype(weight.dtype) == working
    assert problem.saliency.dtype == working
    assert problem.saliency.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_the_lowest_int8_has_a_magnitude() -> None:
    """|-128| does not fit int8; it is taken in float32."""
    problem = Problem.from_weight(np.array([[-128, 127, -1, 0]], np.int8), "1:4")
    assert problem.saliency.tolist() == [[128.0, 127.0, 1.0, 0.0]]


@pytest.mark.parametrize("kernel", [(3,), (3, 2), (2, 3, 2)])
def test_a_convolution_is_read_as_rows_by_input_channels(kernel: tuple[int, ...]) -> None:
    """out * k rows and in columns: what moving the input axis last and reshaping gives."""
    weight = np.random.default_rng(0).normal(size=(5, 8, *kernel))
    expected = np.moveaxis(weight, 1, -1).reshape(-1, 8)
    assert matrix_shape(weight.shape) == expected.shape
    np.testing.assert_array_equal(Problem.from_weight(weight).saliency, np.abs(expected))


def test_blocks_make_up_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a few rows at a time loses none, for linear and convolution weights, in any memory order."""
    rng = np.random.default_rng(0)
    for weight in (rng.random((17, 6)), rng.random((7, 6, 3)), np.asfortranarray(rng.random((9, 6)))):
        whole = as_matrix(weight)
        with monkeypatch.context() as patch:
            patch.setattr("permsolve.weights.BLOCK_ELEMENTS", 20)
            blocks = list(row_blocks(weight))
        assert len(blocks) >= 3
        np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_problems_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saliency, row bound and mask are the same when everything is done a few rows at a time."""
    weight = np.random.default_rng(0).normal(size=(23, 10))
    expected = Problem.from_weight(weight)
    bound = expected.row_bound
    for module in ("weights", "problem"):
        monkeypatch.setattr(f"permsolve.{module}.BLOCK_ELEMENTS", 30)
    problem = Problem.from_weight(weight)
    np.testing.assert_array_equal(problem.saliency, expected.saliency)
    assert problem.row_bound == pytest.approx(bound, rel=1e-14)


def test_a_memory_map_is_read(tmp_path: Path) -> None:
    """And not changed: the file is opened for reading."""
    weight = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    np.save(tmp_path / "weight.npy", weight)
    mapped = np.load(tmp_path / "weight.npy", mmap_mode="r")
    np.testing.assert_array_equal(Problem.from_weight(mapped).saliency, np.abs(weight))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "int8"])
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3, 3)])
def test_torch_tensors_are_taken_as_they_are(dtype: str, shape: tuple[int, ...]) -> None:
    """Also those that require a gradient; the problem equals that of the tensor's numbers in numpy."""
    torch = pytest.importorskip("torch")
    numbers = np.random.default_rng(0).integers(-8, 8, shape)
    tensor = torch.tensor(numbers).to(getattr(torch, dtype))
    if tensor.is_floating_point():
        tensor = torch.nn.Parameter(tensor)
    expected = Problem.from_weight(numbers)
    np.testing.assert_array_equal(Problem.from_weight(tensor).saliency, expected.saliency)


def test_a_sparse_torch_tensor_is_refused() -> None:
    """With one clear message: densifying it unasked could take all memory."""
    torch = pytest.importorskip("torch")
    with pytest.raises(InvalidProblemError, match="must be dense"):
        Problem.from_weight(torch.eye(4).to_sparse())


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones((2, 2), object), "real numbers, got dtype object"),
        (np.ones((2, 2), complex), "real numbers, got dtype complex128"),
        (np.ones((2, 2), bool), "real numbers, got dtype bool"),
        ([["a", "b"]], "real numbers, got dtype <U1"),
        (np.ones((2, 2), [("x", "f4")]), "real numbers"),
        (np.array(["2020-01-01"], "M8[D]"), "real numbers"),
        (np.float64(3.0), r"got shape \(\)"),
        (np.ones(4), r"got shape \(4,\)"),
        (np.ones((2,) * 6), "2 .linear. to 5 .convolution. dimensions"),
        (np.ones((0, 4)), r"is empty: shape \(0, 4\)"),
        (np.ones((4, 0)), r"is empty: shape \(4, 0\)"),
        (np.ones((4, 2, 0)), "is empty"),
        (None, "real numbers, got dtype object"),
    ],
)
def test_what_is_no_weight_is_refused(weight: Any, message: str) -> None:
    """One clear reason each."""
    with pytest.raises(InvalidProblemError, match=message):
        as_weight(weight)


def test_a_ragged_list_is_refused() -> None:
    """It is a wrong weight like any other, not numpy's error."""
    with pytest.raises(InvalidProblemError):
        as_weight([[1.0, 2.0], [3.0]])
