"""The kernels in numba's CUDA simulator; run by ``test_device.py`` in a process of its own.

The simulator runs a Python thread per CUDA thread: blocks are made small here, so that small matrices have several
tiles, slabs, spans and chunks. One test, which takes longer, has blocks of their real size.
"""

import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numba.cuda.simulator.kernelapi import FakeCUDAShared
from numba.np.numpy_support import as_dtype
from numpy.typing import NDArray

from bench.gpu import limit
from bench.gpu.exchange import measure_exchange
from bench.gpu.search import is_local_optimum, measure_search
from permsolve import Problem, api, solve
from permsolve.errors import UnsupportedProblemError
from permsolve.kernels.device import _kernels
from permsolve.kernels.device import exchange as host
from permsolve.kernels.device.availability import device_name, obstacle
from permsolve.kernels.device.exchange import DeviceExchange
from permsolve.kernels.exchange import exchange
from permsolve.permutation import to_groups
from permsolve.run import Run
from permsolve.stopping import MaxIterations
from permsolve_solvers.assignment import Assignment
from permsolve_solvers.local_search import LocalSearch
from permsolve_solvers.local_search import solver as local_search
from permsolve_solvers.portfolio import auto


@pytest.fixture(autouse=True)
def quick_turns() -> Iterator[None]:
    """The simulator polls its threads: they get their turn sooner than after the usual 5 ms."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture(autouse=True)
def one_shared_array(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator lets two threads that ask at the same time each make the array that their block should share."""
    lock = threading.Lock()

    def array(self: Any, shape: Any, dtype: Any) -> NDArray[Any]:
        caller = sys._getframe(1)
        place = caller.f_code.co_filename, caller.f_lineno
        with lock:
            if place not in self._allocations:
                self._allocations[place] = np.empty(shape, as_dtype(dtype))
            found: NDArray[Any] = self._allocations[place]
        return found

    monkeypatch.setattr(FakeCUDAShared, "array", array)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 2 x 2 threads (one with 4 x 2), tiles of 16 x 16, spans of 4 rows, stretches of 6, chunks of one tile.

    Saliencies are copied 4 columns at once.
    """
    side, strip, width = 2, 2, 4
    tile = 8 * side
    for name, value in {
        "SIDE": side,
        "DEPTH": side,
        "TILE": tile,
        "SPAN": 2 * side,
        "LANES": 4,
        "STRETCH": 6,
        "STRIP": strip,
        "WIDTH": width,
        "_SLAB": (side, tile + 2),
        "_TURNED": (width, strip + 1),
        "_FOUND": (strip, width),
    }.items():
        monkeypatch.setattr(_kernels, name, value)
    monkeypatch.setattr(host, "CHUNK", tile)
    monkeypatch.setattr(host, "THREADS", 4)
    monkeypatch.setattr(host, "UPLOAD", 24)


def random_problem(rows: int, columns: int, pattern: str, ties: bool = False) -> tuple[Problem, NDArray[np.int64]]:
    """A problem and random groups."""
    rng = np.random.default_rng(rows + columns)
    saliency = rng.integers(0, 4, (rows, columns)) if ties else rng.random((rows, columns))
    problem = Problem(saliency.astype(np.float32), pattern)
    return problem, to_groups(rng.permutation(columns), problem.pattern)


def members_of(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """(group, position) of every member."""
    count, m = groups.shape
    return np.column_stack([np.repeat(np.arange(count), m), np.tile(np.arange(m), count)])


def on_cpu(problem: Problem, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """The exchange matrix of the CPU's kernel, without what the device leaves out."""
    width = problem.padded.shape[0]
    out = np.empty((width, width), np.float32)
    exchange(problem.working, groups, members_of(groups), problem.pattern.n, np.arange(width), 0, out, groups.ravel())
    sums = problem.working.sum(axis=1, dtype=np.float64)
    expected: NDArray[np.float64] = out - (sums[None, :] - sums[:, None]) / 2
    return expected


def check(problem: Problem, groups: NDArray[np.int64]) -> None:
    """The whole matrix, the best swaps read off it, and what groups keep."""
    device = DeviceExchange(problem.working, problem.pattern.n)
    device.hold()
    device.refresh(groups, np.arange(len(groups)))
    device.synchronize()
    expected = on_cpu(problem, groups)
    scale = float(problem.working.max()) * problem.rows
    np.testing.assert_allclose(device.matrix(), expected, rtol=0.0, atol=2e-6 * scale)

    width = problem.padded.shape[0]
    where = np.empty(width, np.int64)
    where[groups.ravel()] = np.repeat(np.arange(len(groups)), groups.shape[1])
    gains, partners = device.best_partners(where, problem.columns)
    matrix = device.matrix()
    swaps = matrix + matrix.T
    swaps[where[:, None] == where[None, :]] = 0.0
    swaps[problem.columns :] = 0.0
    swaps[:, problem.columns :] = 0.0
    np.testing.assert_array_equal(gains, np.maximum(swaps.max(axis=1), 0.0))
    np.testing.assert_allclose(device.group_values(groups), problem.group_values(groups), rtol=1e-12)
    assert device.group_values(groups[:0]).shape == (0,)
    np.testing.assert_array_equal(partners, np.where(swaps.max(axis=1) > 0.0, swaps.argmax(axis=1), -1))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("rows", "columns", "pattern", "ties"),
    [(5, 18, "2:4", False), (3, 8, "2:4", True), (1, 8, "2:4", False), (5, 6, "1:2", True), (3, 8, "3:5", False)],
)
def test_exchange_matrix(rows: int, columns: int, pattern: str, ties: bool) -> None:
    """As on the CPU: several tiles, slabs, spans and chunks, or hardly one; short groups, other patterns, ties."""
    check(*random_problem(rows, columns, pattern, ties))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("blocks", [1, 3, 1000])
def test_spans_shared_among_blocks(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """The same matrix, whether a tile is one block's or that of several, the last with fewer spans."""
    monkeypatch.setattr(host, "BLOCKS", blocks)
    check(*random_problem(19, 8, "2:4"))


@pytest.mark.parametrize(
    ("tiles", "spans", "parts"),
    [(1024, 8, (1, 8)), (16, 2144, (1, 2144)), (4, 5, (2, 3)), (1, 5, (5, 1)), (1, 1, (1, 1))],
)
def test_parts_are_as_many_as_keep_the_gpu_busy(tiles: int, spans: int, parts: tuple[int, int]) -> None:
    """None is empty; the simulator counts as one multiprocessor."""
    assert host._parts(tiles, spans) == parts


@pytest.mark.slow
def test_exchange_matrix_with_whole_blocks() -> None:
    """The sizes that run on a GPU."""
    check(*random_problem(20, 12, "2:4"))


@pytest.mark.usefixtures("small_blocks")
def test_submatrices_and_updates() -> None:
    """Some members against some columns in any order; rows are brought up to date after a change."""
    problem, groups = random_problem(5, 20, "2:4")
    rng = np.random.default_rng(0)
    members = members_of(groups)[rng.permutation(20)[:7]]
    columns = rng.permutation(20)[:9]
    device = DeviceExchange(problem.working, 2)
    expected = on_cpu(problem, groups)
    own = groups[members[:, 0], members[:, 1]]
    for width in (11, 9):
        out = np.empty((7, width), np.float32)
        device.submatrix(groups, members, columns, out)
        np.testing.assert_allclose(out[:, :9], expected[own][:, columns], atol=2e-5)

    device.hold()
    device.refresh(groups, np.arange(5))
    groups[1, 0], groups[3, 2] = groups[3, 2], groups[1, 0]
    device.refresh(groups, np.array([1, 3]))
    np.testing.assert_allclose(device.matrix(), on_cpu(problem, groups), atol=2e-5)


@pytest.mark.usefixtures("small_blocks")
def test_assignment_finds_what_it_finds_on_the_cpu() -> None:
    """The same moves, as the same random numbers meet the same matrices up to rounding."""
    problem, _ = random_problem(4, 12, "2:4")
    runs = [Run(problem, seed=3, stop=MaxIterations(6)) for _ in range(2)]
    Assignment(device="cuda").solve(problem, runs[0])
    Assignment().solve(problem, runs[1])
    assert runs[0].value == pytest.approx(runs[1].value, rel=1e-6)
    assert runs[0].value > problem.baseline
    assert runs[0].notes == {"device": "numba's CUDA simulator"}
    assert runs[1].notes == {}


@pytest.mark.usefixtures("small_blocks")
def test_local_search_improves(monkeypatch: pytest.MonkeyPatch) -> None:
    """By assignments, swaps and perturbation; the value is the core's, and the device is noted."""
    monkeypatch.setattr(local_search, "WINDOW", 2)
    problem, _ = random_problem(4, 12, "2:4")
    run = Run(problem, seed=1, stop=MaxIterations(10))
    LocalSearch(device="cuda").solve(problem, run)
    assert run.value > problem.baseline
    assert run.value == problem.value(run.permutation)
    assert run.notes["device"] == device_name()


@pytest.mark.usefixtures("small_blocks")
def test_auto_says_which_device_it_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is too large for a proof; nothing where it was the CPU."""
    monkeypatch.setattr(auto, "PROOF_COLUMNS", 0)
    problem, _ = random_problem(3, 20, "2:4")
    runs = [Run(problem, stop=MaxIterations(1)) for _ in range(2)]
    auto.Auto(device="cuda").solve(problem, runs[0])
    auto.Auto(device="cpu").solve(problem, runs[1])
    assert [run.notes for run in runs] == [{"device": device_name()}, {}]


@pytest.mark.parametrize(("share", "words"), [("SALIENCY_SHARE", "a saliency of 4 x 8"), ("MATRIX_SHARE", "8 columns")])
def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch, share: str, words: str) -> None:
    """With the sizes and the remedy."""
    monkeypatch.setattr(host, "_free_memory", lambda: 1e4)
    monkeypatch.setattr(host, share, 0.0)
    problem, _ = random_problem(4, 8, "2:4")
    with pytest.raises(UnsupportedProblemError, match=rf"{words} takes .* GiB.*device='cpu'"):
        DeviceExchange(problem.working, 2).hold()


def test_the_simulator_counts_as_a_device() -> None:
    """For these tests."""
    assert obstacle() is None


@pytest.mark.usefixtures("small_blocks")
def test_measuring_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times and the limit beside it are there; what they are says nothing here."""
    monkeypatch.setattr(limit, "THREADS", 4)
    rate = limit.additions_per_second(blocks=2, rounds=3, repeats=1)
    assert rate > 0.0
    row = measure_exchange(8, 4, repeats=1, limit=rate)
    assert (row.columns, row.rows) == (8, 4)
    assert row.milliseconds > 0.0
    assert row.limit_milliseconds == pytest.approx(1e3 * 2 * 8 * 8 * 4 / rate)


@pytest.mark.usefixtures("small_blocks")
def test_a_local_optimum_is_known() -> None:
    """The optimum is one, the given order is none."""
    problem, _ = random_problem(4, 12, "2:4")
    matrix = DeviceExchange(problem.working, problem.pattern.n)
    matrix.hold()
    assert is_local_optimum(problem, matrix, solve(problem, "exhaustive").permutation)
    assert not is_local_optimum(problem, matrix, np.arange(12))


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
def test_measuring_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first local optimum is found within the time, and the search gets no worse after it."""
    monkeypatch.setattr(api, "_warm_up", lambda *_: None)  # of a size that takes the simulator minutes
    row = measure_search(16, 4, 5.0, workers=1)
    assert row.seconds is not None
    assert row.efficacy_then is not None
    assert 0.0 < row.seconds <= row.limit + 5.0
    assert 0.0 < row.efficacy_then <= row.efficacy <= 100.0
