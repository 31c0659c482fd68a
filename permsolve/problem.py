"""The permutation problem: a saliency matrix and a pattern."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from permsolve.arithmetic import own_arithmetic
from permsolve.cores import mapped
from permsolve.errors import InvalidProblemError
from permsolve.kernels.layout import columns_first
from permsolve.kernels.scoring import group_values
from permsolve.moments import InputMoments
from permsolve.pattern import Pattern
from permsolve.permutation import check_permutation, to_groups
from permsolve.saliency import AnySaliency, get_saliency, registered_name
from permsolve.scores import score_blocks
from permsolve.weights import BLOCK_ELEMENTS, as_array, as_weight, matrix_shape, row_blocks, working_dtype

# Float32 sums of products of this range neither overflow nor lose small entries to denormals.
_SAFE_MAXIMUM = 2.0**60
_SAFE_MINIMUM = 2.0**-40
# Two float64 sums of the same saliencies in different orders agree to about this much.
ROUNDING = 1e-12


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Problem:
    """Order the columns of ``saliency`` so that an N:M pattern keeps as much of it as possible.

    The pattern keeps the N largest of every M consecutive entries of a row; a permutation of the columns
    decides which entries compete. When the number of columns is not a multiple of M, the last
    group is short and keeps up to N of what it has.

    Parameters
    ----------
    saliency : array_like of real numbers, shape (rows, columns)
        What each weight is worth, >= 0 and finite. It is copied; float64 stays float64, everything
        that float32 holds exactly becomes float32.
    pattern : Pattern or str
        Such as ``"2:4"``.

    Attributes
    ----------
    saliency : ndarray of float32 or float64, shape (rows, columns)
        Read-only, Fortran order (each column contiguous).
    pattern : Pattern
        The pattern.
    total : float
        Sum of the whole saliency.
    row_bound : float
        Saliency kept when each row keeps its largest entries wherever they stand: an upper bound.
    saliency_name : str or None
        Name of the registered saliency that a weight was scored by; None where the scores were given, or made by a
        function of the caller's own.

    Raises
    ------
    InvalidProblemError
        When the saliency is empty, not a matrix of real numbers, or holds a negative, NaN or infinite entry.
    InvalidPatternError
        When the pattern is impossible.

    Notes
    -----
    Matrices of 2**25 entries and more are laid out and scored by all cores.

    Examples
    --------
    >>> problem = Problem([[3.0, 2.0, 0.0, 1.0]], "1:2")
    >>> problem.value([0, 1, 2, 3]), problem.value([0, 2, 1, 3])
    (4.0, 5.0)
    """

    saliency: NDArray[Any]
    pattern: Pattern
    total: float = field()
    row_bound: float = field()
    _padded: NDArray[Any] = field()
    saliency_name: str | None = None

    @own_arithmetic
    def __init__(self, saliency: ArrayLike, pattern: Pattern | str = "2:4") -> None:
        matrix = as_array(saliency)
        if matrix.ndim != 2:
            raise InvalidProblemError(f"a saliency is a matrix (rows, columns), got shape {matrix.shape}")
        self._stack(row_blocks(as_weight(matrix)), matrix.shape, Pattern.parse(pattern))

    def _stack(self, blocks: Iterable[NDArray[Any]], shape: tuple[int, ...], pattern: Pattern) -> None:
        """Store scores block by block, columns first, with room for padding columns."""
        rows, columns = shape
        kept = pattern.kept_per_row(columns)
        padded: NDArray[Any] | None = None

        def placed() -> Iterator[tuple[NDArray[Any], int]]:
            """Blocks in the type of the first one, and where they begin; there is room for them now."""
            nonlocal padded
            start = 0
            for block in blocks:
                scored = _as_block(block, columns)
                if padded is None:
                    padded = np.zeros((pattern.group_count(columns) * pattern.m, rows), scored.dtype)
                if start + len(scored) <= rows:
                    yield np.ascontiguousarray(scored, padded.dtype), start
                start += len(scored)
            if start != rows:
                raise InvalidProblemError(f"the blocks have {start} rows in all, {rows} were announced")

        def store(place: tuple[NDArray[Any], int]) -> float:
            block, start = place
            if not columns_first(block, start, padded):
                raise InvalidProblemError(_fault(block, start))
            return _largest_of_rows(block, kept)

        row_bound = sum(mapped(store, placed(), rows * columns))
        if padded is None:
            raise InvalidProblemError(f"the blocks have 0 rows in all, {rows} were announced")
        padded.flags.writeable = False
        total = _total(padded)
        if not np.isfinite(total):
            raise InvalidProblemError(
                f"the saliencies add up to more than float64 can hold (largest {padded.max():.3g}): scale the weights"
            )
        object.__setattr__(self, "saliency", padded[:columns].T)
        object.__setattr__(self, "pattern", pattern)
        object.__setattr__(self, "total", total)
        object.__setattr__(self, "row_bound", row_bound)
        object.__setattr__(self, "_padded", padded)

    @classmethod
    @own_arithmetic
    def from_weight(
        cls,
        weight: Any,
        pattern: Pattern | str = "2:4",
        saliency: AnySaliency = "magnitude",
        inputs: InputMoments | None = None,
    ) -> "Problem":
        """The problem of a weight: its input channels are the columns.

        Parameters
        ----------
        weight : array_like or torch.Tensor, shape (out, in) or (out, in, k...)
            float16, bfloat16, float32, float64 or integers. A convolution weight is read as
            out * k... rows and in columns. A memory map is read block by block.
        pattern : Pattern or str, default "2:4"
            The pattern.
        saliency : str, callable or Saliency, default "magnitude"
            Name of a registered saliency, a function from a (rows, columns) float matrix to scores
            >= 0 of the same shape, or a :class:`permsolve.saliency.Saliency`.
        inputs : InputMoments, optional
            What the layer reads, for a calibrated saliency; others do not look at it.

        Raises
        ------
        InvalidProblemError
            When the weight is empty, not real, not finite, or has fewer than 2 or more than 5 dimensions, or the
            moments do not fit it.
        InvalidOptionError
            When a calibrated saliency lacks the moments that it needs.
        UnknownSaliencyError
            When no saliency has this name.
        InvalidPatternError
            When the pattern is impossible.
        """
        chosen = get_saliency(saliency)
        parsed = Pattern.parse(pattern)
        array = as_weight(weight)
        problem = cls.__new__(cls)
        problem._stack(score_blocks(array, chosen, inputs), matrix_shape(array.shape), parsed)
        object.__setattr__(problem, "saliency_name", registered_name(chosen))
        return problem

    @classmethod
    @own_arithmetic
    def from_blocks(
        cls, blocks: Iterable[NDArray[Any]], shape: tuple[int, int], pattern: Pattern | str = "2:4"
    ) -> "Problem":
        """The problem of a saliency that comes in blocks of rows, none of which is kept: layers that share columns.

        Parameters
        ----------
        blocks : iterable of ndarray, shape (some rows, columns)
            What each weight is worth, >= 0 and finite. All are stored in the type of the first: float64 stays float64,
            everything else becomes float32.
        shape : tuple of int
            Rows (of all blocks together) and columns.
        pattern : Pattern or str, default "2:4"
            The pattern.

        Raises
        ------
        InvalidProblemError
            When a block has another width, the rows do not add up, or an entry is negative, NaN or infinite.
        InvalidPatternError
            When the pattern is impossible.
        """
        problem = cls.__new__(cls)
        problem._stack(blocks, shape, Pattern.parse(pattern))
        return problem

    def __reduce__(self) -> tuple[Any, ...]:
        return Problem, (self.saliency, self.pattern), {"saliency_name": self.saliency_name}

    def __repr__(self) -> str:
        return f"Problem({self.rows} x {self.columns}, {self.pattern})"

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.saliency.shape[0])

    @property
    def columns(self) -> int:
        """Number of columns to order."""
        return int(self.saliency.shape[1])

    @property
    def group_count(self) -> int:
        """Number of groups, a short last one included."""
        return self.pattern.group_count(self.columns)

    @property
    def padding(self) -> int:
        """Number of padding columns in the last group (0 when the columns are a multiple of M)."""
        return self.group_count * self.pattern.m - self.columns

    @property
    def padded(self) -> NDArray[Any]:
        """Saliency columns first, shape (columns + padding, rows), read-only: the layout of the kernels."""
        return self._padded

    @cached_property
    @own_arithmetic
    def working(self) -> NDArray[np.float32]:
        """Float32 form of :attr:`padded` for searching, read-only.

        A float32 saliency of ordinary magnitude is shared as it is. Any other is copied, scaled by a
        power of two to a largest entry in [0.5, 1), so that float32 sums of it neither overflow nor vanish.
        """
        largest = float(self._padded.max())
        if self._padded.dtype == np.float32 and (largest == 0.0 or _SAFE_MINIMUM < largest < _SAFE_MAXIMUM):
            return self._padded
        exponent = -int(np.frexp(largest)[1]) if largest > 0.0 else 0
        scaled = np.empty(self._padded.shape, np.float32)
        for column, target in zip(self._padded, scaled, strict=True):
            target[:] = np.ldexp(column, exponent)
        scaled.flags.writeable = False
        return scaled

    @own_arithmetic
    def group_values(self, groups: ArrayLike) -> NDArray[np.float64]:
        """What each row of a group matrix keeps (see :mod:`permsolve.permutation`), float64."""
        matrix = np.ascontiguousarray(groups, dtype=np.int64)
        out = np.empty(matrix.shape[0], np.float64)

        def score(part: slice) -> None:
            group_values(self._padded, matrix[part], self.pattern.n, out[part])

        entries = matrix.size * self.rows
        deque(mapped(score, _slices(len(matrix), entries), entries), maxlen=0)
        return out

    @own_arithmetic
    def value(self, permutation: ArrayLike) -> float:
        """Saliency kept by the pattern after re-ordering the columns.

        Parameters
        ----------
        permutation : array_like of int, shape (columns,)
            ``saliency[:, permutation]`` is the re-ordered matrix.

        Raises
        ------
        InvalidSolutionError
            When it is not a permutation of the columns.
        """
        checked = check_permutation(permutation, self.columns)
        return float(self.group_values(to_groups(checked, self.pattern)).sum())

    @cached_property
    def baseline(self) -> float:
        """Saliency kept in the given order."""
        return self.value(np.arange(self.columns))

    def efficacy(self, value: float) -> float:
        """Share in percent of the way from the given order to the row bound (Pool & Yu 2021).

        100 where the given order already reaches the bound.
        """
        return efficacy(value, self.baseline, self.row_bound)


def meets(value: float, bound: float) -> bool:
    """Whether a value reaches a bound, but for the rounding of their sums."""
    return value >= bound - ROUNDING * abs(bound)


def efficacy(value: float, baseline: float, row_bound: float) -> float:
    """``100 (value - baseline) / (row_bound - baseline)`` (Pool & Yu 2021); 100 when there was no room."""
    room = row_bound - baseline
    # Sums of the same entries in two orders are not equal to the last bit.
    return min(100.0, 100.0 * (value - baseline) / room) if room > ROUNDING * row_bound else 100.0


def check_problem(owner: str, problem: object) -> None:
    """Refuse what is no problem, such as a bare weight.

    Raises
    ------
    InvalidProblemError
        When it is none.
    """
    if not isinstance(problem, Problem):
        raise InvalidProblemError(
            f"{owner}() takes a Problem, got {type(problem).__name__}: use Problem.from_weight(weight, '2:4')"
        )


def _slices(count: int, entries: int) -> list[slice]:
    """Of things that hold so many entries in all, slices of some 4 M entries."""
    step = max(1, count * BLOCK_ELEMENTS // max(1, entries))
    return [slice(start, start + step) for start in range(0, count, step)]


def _total(padded: NDArray[Any]) -> float:
    """Sum of all entries, that of each column first; infinite when it is too large."""

    def sums(part: slice) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):
            found: NDArray[np.float64] = padded[part].sum(axis=1, dtype=np.float64)
        return found

    columns = np.concatenate(list(mapped(sums, _slices(len(padded), padded.size), padded.size)))
    with np.errstate(over="ignore"):
        return float(columns.sum())


def _largest_of_rows(block: NDArray[Any], kept: int) -> float:
    """Sum of the ``kept`` largest entries of each row; infinite when it is too large."""
    columns = block.shape[1]
    if kept < columns:
        block = np.partition(block, columns - kept, axis=1)[:, columns - kept :]
    with np.errstate(over="ignore"):
        return float(block.sum(dtype=np.float64))


def _as_block(block: NDArray[Any], columns: int) -> NDArray[Any]:
    """Scores of one block in a float type."""
    scores = as_array(block)
    if scores.ndim != 2 or scores.shape[1] != columns:
        raise InvalidProblemError(f"a block of saliencies has shape (rows, {columns}), got {scores.shape}")
    return scores.astype(working_dtype(scores.dtype), copy=False)


def _fault(block: NDArray[Any], first_row: int) -> str:
    """What is wrong with a block that holds a negative, NaN or infinite entry."""
    row, column = np.argwhere(~((block >= 0.0) & (block < np.inf)))[0]
    return (
        f"saliency must be finite and >= 0: entry ({first_row + row}, {column}) is {block[row, column]}; "
        "clean the weights (numpy.nan_to_num) or choose another saliency"
    )
