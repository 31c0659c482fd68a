"""Results: what they derive, apply to weights, write and read."""

import dataclasses
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from permsolve.api import solve
from permsolve.errors import FileFormatError, InvalidOptionError, InvalidProblemError, InvalidSolutionError
from permsolve.moments import InputMoments
from permsolve.pattern import Pattern
from permsolve.problem import Problem
from permsolve.result import Result
from permsolve.status import Status, StopReason
from permsolve.stopping import MaxIterations

WEIGHT = np.random.default_rng(0).normal(size=(16, 10))
FORMATS = (".json", ".npz")


@pytest.fixture(scope="module")
def result() -> Result:
    """A result with a short last group, several trace points and an option."""
    return solve(Problem.from_weight(WEIGHT, "2:4"), "random", stop=MaxIterations(50), workers=1)


def changed(result: Result, **fields: Any) -> Result:
    """The same result but for some fields."""
    return dataclasses.replace(result, **fields)


def same(left: Result, right: Result) -> bool:
    """Equal in every field."""
    return left.to_dict() == right.to_dict()


def test_what_follows_from_the_fields(result: Result) -> None:
    """Gap, efficacy and groups by their definitions."""
    assert result.gap == (result.bound - result.value) / result.value > 0
    problem = Problem.from_weight(WEIGHT, "2:4")
    assert result.efficacy == problem.efficacy(result.value) > 0
    assert [len(group) for group in result.groups] == [4, 4, 2]
    assert np.concatenate(result.groups).tolist() == result.permutation.tolist()
    assert f"efficacy {result.efficacy:.2f} %" in repr(result)


def test_nothing_to_gain_is_full_efficacy_and_no_gap(result: Result) -> None:
    """Where the definitions divide by zero."""
    nothing = changed(result, value=0.0, baseline=0.0, row_bound=0.0, bound=0.0)
    assert (nothing.efficacy, nothing.gap) == (100.0, 0.0)


def test_a_result_cannot_be_changed(result: Result) -> None:
    """Frozen fields and a read-only permutation, also after pickling."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.value = 0.0  # type: ignore[misc]
    for one in (result, pickle.loads(pickle.dumps(result))):
        assert same(one, result)
        with pytest.raises(ValueError, match="read-only"):
            one.permutation[0] = 1


@pytest.mark.parametrize("wrong", [[0, 0, 1], [[0, 1]], [0.5, 1.5], 3, [1, 2, 3]])
def test_a_result_holds_a_permutation(result: Result, wrong: Any) -> None:
    """Nothing else can be put into it."""
    with pytest.raises(InvalidSolutionError):
        changed(result, permutation=wrong)


@pytest.mark.parametrize("name", ["value", "baseline", "row_bound", "bound"])
def test_a_result_is_finite(result: Result, name: str) -> None:
    """NaN could be written to no file and compared with nothing."""
    with pytest.raises(InvalidSolutionError, match=name):
        changed(result, **{name: math.nan})


@pytest.mark.parametrize("shape", [(16, 10), (4, 10, 3), (2, 10, 3, 3), (2, 10, 1, 2, 2)])
def test_apply_and_mask_fit_together(result: Result, shape: tuple[int, ...]) -> None:
    """``apply(weight * mask(weight))`` is N:M, and keeps what re-scoring says."""
    weight = np.random.default_rng(1).normal(size=shape)
    kept = result.apply(weight * result.mask(weight))
    assert result.apply(weight).tolist() == weight[:, result.permutation].tolist()
    for start in (0, 4, 8):
        group = np.moveaxis(kept, 1, -1)[..., start : start + 4]
        assert (np.count_nonzero(group, axis=-1) == 2).all()
    value = Problem.from_weight(weight, "2:4").value(result.permutation)
    assert np.abs(kept).sum() == pytest.approx(value)


def test_the_mask_of_the_solved_weight_keeps_the_value(result: Result) -> None:
    """The number reported is the magnitude that pruning leaves."""
    assert np.abs(WEIGHT[result.mask(WEIGHT)]).sum() == pytest.approx(result.value)


def test_the_mask_goes_by_the_saliency_that_was_solved_for() -> None:
    """Unless told otherwise; a calibrated one asks for its moments, and where no name is known it is magnitude."""
    moments = InputMoments(np.random.default_rng(1).random(10) ** 4)
    problem = Problem.from_weight(WEIGHT, "2:4", "wanda", moments)
    solved = solve(problem, "greedy")
    assert solved.saliency == "wanda"
    assert problem.saliency[solved.mask(WEIGHT, inputs=moments)].sum() == pytest.approx(solved.value)
    assert problem.saliency[solved.mask(WEIGHT, "magnitude")].sum() < solved.value
    with pytest.raises(InvalidOptionError, match="'wanda' needs"):
        solved.mask(WEIGHT)
    unnamed = changed(solved, saliency=None)
    np.testing.assert_array_equal(unnamed.mask(WEIGHT), solved.mask(WEIGHT, "magnitude"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
def test_apply_keeps_the_type_and_copies(result: Result, dtype: Any) -> None:
    """Whatever is done to the re-ordered weight does not touch the given one."""
    weight = np.ones((2, 10), dtype)
    reordered = result.apply(weight)
    assert reordered.dtype == dtype
    assert not np.shares_memory(reordered, weight)


def test_torch_tensors_are_applied_to(result: Result) -> None:
    """They come back as numpy arrays with the same numbers."""
    torch = pytest.importorskip("torch")
    reordered = result.apply(torch.nn.Parameter(torch.tensor(WEIGHT)))
    np.testing.assert_array_equal(reordered, WEIGHT[:, result.permutation])


@pytest.mark.parametrize("weight", [np.ones((3, 9)), np.ones((10, 3)), np.ones(10), [[1.0], [1.0, 2.0]]])
def test_other_weights_are_refused(result: Result, weight: Any) -> None:
    """By apply and mask alike."""
    for use in (result.apply, result.mask):
        with pytest.raises(InvalidProblemError):
            use(weight)


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_saved_is_loaded(result: Result, suffix: str, tmp_path: Path) -> None:
    """Every field, exactly: floats bit by bit, enums, an infinite time limit, options."""
    for number, one in enumerate(
        (
            result,
            changed(result, options={"size": 3, "rate": 0.1}, time_limit=2.5, saliency=None, notes={"device": "a GPU"}),
        )
    ):
        path = tmp_path / f"{number}{suffix}"
        one.save(path)
        loaded = Result.load(str(path))
        assert same(loaded, one)
        assert isinstance(loaded.status, Status)
        assert isinstance(loaded.stop_reason, StopReason)
        assert loaded.pattern == Pattern(2, 4)
        assert (loaded.time_limit, loaded.trace) == (one.time_limit, one.trace)
        assert loaded.permutation.dtype == np.int64
        assert not loaded.permutation.flags.writeable


@pytest.mark.parametrize("suffix", [".JSON", ".Npz"])
def test_the_case_of_a_suffix_does_not_matter(result: Result, suffix: str, tmp_path: Path) -> None:
    """As for all files that are read and written."""
    path = tmp_path / f"r{suffix}"
    result.save(path)
    assert same(Result.load(path), result)


def test_files_need_no_pickle(result: Result, tmp_path: Path) -> None:
    """The JSON is standard (no NaN, no Infinity), the arrays load with pickle refused."""
    result.save(tmp_path / "r.json")
    result.save(tmp_path / "r.npz")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
    assert document["permutation"] == result.permutation.tolist()
    with np.load(tmp_path / "r.npz", allow_pickle=False) as archive:
        assert set(archive) == {"permutation", "trace", "result"}


def test_an_unknown_suffix_is_refused(result: Result, tmp_path: Path) -> None:
    """And nothing is written."""
    with pytest.raises(FileFormatError, match=r"name it \.json or \.npz"):
        result.save(tmp_path / "result.txt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_failed_save_leaves_things_as_they_were(result: Result, suffix: str, tmp_path: Path) -> None:
    """An option that JSON cannot hold: the old file stays, no part of a new one appears."""
    path = tmp_path / f"r{suffix}"
    result.save(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        changed(result, options={"x": object()}).save(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before
    with pytest.raises(FileNotFoundError):
        result.save(tmp_path / "missing" / path.name)


@pytest.mark.parametrize("suffix", FORMATS)
def test_broken_files_are_refused(result: Result, suffix: str, tmp_path: Path) -> None:
    """Cut anywhere, or with bytes flipped: FileFormatError, or the very same result, never anything else."""
    path = tmp_path / f"r{suffix}"
    result.save(path)
    whole = path.read_bytes()
    broken = [whole[:cut] for cut in range(0, len(whole) - 2, max(1, len(whole) // 60))]
    rng = np.random.default_rng(0)
    refused = 0
    if suffix == ".npz":  # its checksums notice; in a JSON text a changed digit is another valid result
        for _ in range(60):
            flipped = bytearray(whole)
            flipped[rng.integers(len(whole))] ^= int(rng.integers(1, 256))
            broken.append(bytes(flipped))
    for content in broken:
        path.write_bytes(content)
        try:
            assert same(Result.load(path), result)
        except FileFormatError:
            refused += 1
    assert refused >= len(broken) // 2


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"{}", b"3", b'"permsolve-result"', b"\xff\xfe", b"[" * 100_000, b"{" * 100_000]
)
def test_other_json_is_refused(content: bytes, tmp_path: Path) -> None:
    """Also what breaks the parser rather than the format."""
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError):
        Result.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"format_version": 1},
        {"pattern": "4:2"},
        {"pattern": 24},
        {"permutation": [0, 0]},
        {"permutation": "0123"},
        {"permutation": [[0], [1, 2]]},
        {"permutation": [10**30]},
        {"value": None},
        {"value": math.nan},
        {"bound": math.inf},
        {"iterations": math.inf},
        {"seed": math.nan},
        {"status": "GOOD"},
        {"stop_reason": 3},
        {"trace": [[1.0, 2.0]]},
        {"trace": 7},
        {"options": [1]},
        {"versions": None},
    ],
    ids=str,
)
def test_wrong_fields_are_refused(result: Result, change: dict[str, Any], tmp_path: Path) -> None:
    """Each by itself in an otherwise sound file."""
    path = tmp_path / "r.json"
    path.write_text(json.dumps(result.to_dict() | change))
    with pytest.raises(FileFormatError):
        Result.load(path)


def test_missing_fields_are_refused(result: Result) -> None:
    """Every field is needed, but for those that follow from others, and those that older files lack."""
    document = result.to_dict()
    newer = {"notes", "saliency"}
    for name in set(document) - {"columns", "gap", "efficacy"} - newer:
        with pytest.raises(FileFormatError):
            Result.from_dict({key: value for key, value in document.items() if key != name})
    older = Result.from_dict({key: value for key, value in document.items() if key not in newer})
    assert (older.saliency, older.notes) == (None, {})


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    """Not a format error: there is nothing wrong with its content."""
    for suffix in FORMATS:
        with pytest.raises(FileNotFoundError):
            Result.load(tmp_path / f"none{suffix}")
