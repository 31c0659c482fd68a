"""Weights of every type and shape, read as matrices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse

from permsolve.errors import InvalidProblemError, InvalidSolutionError
from permsolve.moments import InputMoments
from permsolve.permutation import check_permutation
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


def test_views_of_torch_tensors_hold_their_numbers() -> None:
    """Also those whose sign torch keeps aside."""
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[1 + 2j, 3 - 4j], [-5 + 6j, 7j]]).conj().imag
    assert tensor.is_neg()
    np.testing.assert_array_equal(as_weight(tensor), [[-2, 4], [-6, -7]])
    np.testing.assert_array_equal(as_weight(torch.nn.Parameter(tensor)[:, ::1].T), [[-2, -6], [4, -7]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        # Densifying it unasked could take all memory.
        (lambda torch: torch.eye(4).to_sparse(), "must be dense .strided., got layout torch.sparse_coo"),
        (lambda torch: torch.nn.Linear(8, 8), "got a Linear: give its .weight"),
        (lambda torch: torch.ones(2, 2, device="meta"), "on the meta device .* load the weights first"),
        (lambda torch: torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8), r"torch.qint8: .*dequantize"),
        (lambda torch: torch.ones(2, 2, dtype=torch.complex32), "of torch.complex32"),
        (lambda torch: torch.ones(2, 2, dtype=torch.complex64).conj(), "real numbers, got dtype complex64"),
        (lambda torch: torch.nn.LazyLinear(4).weight, "UninitializedParameter"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_torch_tensors_that_are_refused(make: Any, message: str) -> None:
    """With one clear message."""
    weight = make(pytest.importorskip("torch"))
    with pytest.raises(InvalidProblemError, match=message) as caught:
        Problem.from_weight(weight)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones((2, 2), object), "real numbers, got dtype object"),
        (np.ones((2, 2), complex), "real numbers, got dtype complex128"),
        (np.ones((2, 2), bool), "real numbers, got dtype bool"),
        ([["a", "b"]], "real numbers, got dtype <U1"),
        (np.ones((2, 2), object), r"\(Python objects\): give .astype\(float\)"),
        (np.ones((2, 2), [("x", "f4"), ("y", "i4")]), "a structured dtype with the fields x, y: give one of them"),
        (np.array([["2020-01-01"]], "M8[D]"), r"dtype datetime64\[D\] \(dates\)"),
        (np.array([[3]], "m8[s]"), r"dtype timedelta64\[s\] \(times\)"),
        (np.ma.masked_equal([[1.0, 2.0]], 2.0), r"got a masked one: give .filled\(0\)"),
        (np.ma.ones((2, 2)), "got a masked one"),
        (scipy.sparse.csr_matrix([[1.0, 0.0]]), r"got a sparse one \(csr_matrix\): give .toarray\(\)"),
        (scipy.sparse.coo_array([[1.0, 0.0]]), r"got a sparse one \(coo_array\)"),
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
    with pytest.raises(InvalidProblemError):
        Problem.from_weight(weight)


@pytest.mark.parametrize("odd", [np.ma.ones(4), scipy.sparse.eye_array(4), np.ones(4, object), np.ones(4, complex)])
def test_arrays_beside_weights_are_plain_ones_too(odd: Any) -> None:
    """Saliencies, blocks of them, moments, permutations and arrays to be re-ordered."""
    calls: list[Callable[[], Any]] = [
        lambda: Problem(odd),
        lambda: Problem.from_blocks([odd], (4, 4)),
        lambda: InputMoments(odd),
        lambda: InputMoments.from_second_moment(odd),
        lambda: InputMoments.from_samples(odd),
    ]
    for call in calls:
        with pytest.raises(InvalidProblemError, match=r"plain array|real numbers|matrix|shape"):
            call()
    with pytest.raises(InvalidSolutionError, match="a permutation is a"):
        check_permutation(odd, 4)


def test_a_ragged_list_is_refused() -> None:
    """It is a wrong weight like any other, not numpy's error."""
    with pytest.raises(InvalidProblemError):
        as_weight([[1.0, 2.0], [3.0]])
