"""Rows of a layer in threads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from permsolve.reconstruction.rows import each_part


@given(st.integers(0, 700))
def test_every_row_is_in_one_part(rows: int) -> None:
    """However many there are."""
    seen = np.zeros(rows, np.int64)

    def note(part: slice) -> None:
        seen[part] += 1

    each_part(note, rows)
    assert (seen == 1).all()


def test_blas_has_one_thread_inside_only() -> None:
    """And what a part raises comes out, with BLAS as it was."""

    def threads() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    before, inside = threads(), list[set[int]]()

    def fail(part: slice) -> None:
        inside.append(threads())
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        each_part(fail, 3)
    assert inside
    assert all(found == {1} for found in inside)
    assert threads() == before
