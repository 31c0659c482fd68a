"""What rows are made of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.runner.machine import machine, memory_now, peak_memory, reset_peak_memory, revision
from bench.runner.row import pack_permutation, thinned, unpack_permutation
from permsolve.run import TracePoint


@pytest.mark.parametrize("columns", [1, 64, 1 << 15, (1 << 15) + 1])
def test_permutations_as_text(columns: int) -> None:
    """They come back, 16 bits each where that suffices."""
    order = np.random.default_rng(columns).permutation(columns)
    text = pack_permutation(order)
    assert len(text) == pytest.approx((2 if columns <= 1 << 15 else 4) * columns * 4 / 3, abs=4)
    np.testing.assert_array_equal(unpack_permutation(text, columns), order)


@pytest.mark.parametrize("text", ["", "AAA", "AAAA!", "AAAAAAAA"])
def test_no_permutation_as_text(text: str) -> None:
    """Other lengths and other characters are refused."""
    with pytest.raises(ValueError, match="no permutation of 2 columns"):
        unpack_permutation(text, 2)


@settings(deadline=None)
@given(steps=st.lists(st.tuples(st.floats(1e-5, 10.0), st.floats(0.0, 5.0)), min_size=1, max_size=300))
def test_thinned_traces(steps: list[tuple[float, float]]) -> None:
    """Few points, the first and the last among them, and none that says more than was known at its time."""
    times = np.cumsum([time for time, _ in steps])
    values = np.cumsum([value for _, value in steps])
    trace = [TracePoint(float(time), float(value), 1e4) for time, value in zip(times, values, strict=True)]
    short = thinned(trace)
    assert len(short) <= 42
    for point, end in ((short[0], trace[0]), (short[-1], trace[-1])):
        assert point == pytest.approx([end.time, end.value, end.bound], rel=1e-3)
    for time, value, _ in short:
        assert value <= values[times <= time * 1.001].max() * (1.0 + 1e-9)


def test_machine() -> None:
    """Where a row was made, and by which code."""
    facts = machine()
    assert facts["cpu"]
    assert int(facts["cores"]) >= 1
    assert revision()


def test_peak_memory_is_that_of_the_search() -> None:
    """What was held before it is counted does not count, where the system can tell."""
    block = np.ones(1 << 23)
    high = peak_memory()
    del block
    reset_peak_memory()
    assert peak_memory() <= high
    if memory_now():
        before = peak_memory()
        block = np.ones(1 << 22)
        assert peak_memory() >= before + block.nbytes // 2
