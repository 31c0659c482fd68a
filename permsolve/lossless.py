"""How sparse must a weight be for a permutation to make it N:M without dropping a nonzero?

Pool & Yu (NeurIPS 2021, figure 4) set the smallest entries of a matrix to zero, more and more of them, and ask when a
permutation is found under which the N:M pattern keeps all the others.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.api import solve
from permsolve.checks import is_number
from permsolve.errors import InvalidOptionError, InvalidProblemError
from permsolve.pattern import Pattern
from permsolve.permutation import to_groups
from permsolve.problem import Problem
from permsolve.weights import as_matrix, as_weight


@dataclass(frozen=True, slots=True)
class LosslessTrial:
    """One sparsity that was tried.

    Attributes
    ----------
    sparsity : float
        Share of the entries that are zero.
    kept : float
        Share of the nonzeros that the best permutation found keeps; 1 when none is dropped.
    impossible : bool
        Whether it is proven that no permutation keeps them all.
    seconds : float
        Time of the search.
    """

    sparsity: float
    kept: float
    impossible: bool
    seconds: float

    @property
    def lossless(self) -> bool:
        """Whether a permutation that drops nothing was found."""
        return self.kept == 1.0


@dataclass(frozen=True, eq=False, slots=True)
class LosslessStudy:
    """The least sparsity at which a permutation was found that drops no nonzero.

    Attributes
    ----------
    pattern : Pattern
        The pattern.
    sparsity : float
        Share of zeros from which on :attr:`permutation` drops nothing: an upper bound of the least possible, since
        a search that fails proves nothing.
    lower : float
        Below this share every permutation drops something: proven.
    given : float
        Share of zeros from which on the given order drops nothing.
    permutation : ndarray of int64, shape (columns,)
        The permutation that :attr:`sparsity` is about.
    trials : tuple of LosslessTrial
        What was tried, by sparsity.
    solver : str
        Name of the solver.
    """

    pattern: Pattern
    sparsity: float
    lower: float
    given: float
    permutation: NDArray[np.int64]
    trials: tuple[LosslessTrial, ...]
    solver: str

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "pattern": str(self.pattern),
            "solver": self.solver,
            "sparsity": self.sparsity,
            "proven_lower": self.lower,
            "given_order": self.given,
            "trials": [asdict(trial) for trial in self.trials],
            "permutation": self.permutation.tolist(),
        }


def prune_smallest(weight: NDArray[Any], sparsity: float) -> NDArray[Any]:
    """A copy of a weight whose smallest entries, by magnitude over the whole of it, are zero.

    Parameters
    ----------
    weight : ndarray of real numbers
        Any shape.
    sparsity : float
        Share of the entries that are zero afterwards (at least: those that were zero stay so); of equal entries
        those that come first are set to zero.

    Raises
    ------
    InvalidOptionError
        When the share is not in [0, 1].
    """
    if not is_number(sparsity) or not 0.0 <= sparsity <= 1.0:
        raise InvalidOptionError(f"a sparsity is a share from 0 to 1, got {sparsity!r}")
    pruned = np.array(weight, order="C")
    smallest = np.argsort(np.abs(pruned), axis=None, kind="stable")[: round(sparsity * pruned.size)]
    pruned.ravel()[smallest] = 0
    return pruned


def lossless_sparsity(
    weight: Any,
    pattern: Pattern | str = "2:4",
    *,
    solver: str = "auto",
    tolerance: float = 0.005,
    time_limit: float = 5.0,
    seed: int = 0,
    workers: int | None = None,
) -> LosslessStudy:
    """Find the least unstructured sparsity at which a permutation makes a weight N:M without dropping a nonzero.

    More zeros never hurt a permutation, so the sparsity is found by bisection, between what is proven impossible and
    what is reached. Every permutation that a search brings is judged by the sparsity from which on it drops nothing,
    which is read off the ranks of the entries, whether or not it was lossless where it was searched.

    Parameters
    ----------
    weight : array_like or torch.Tensor, shape (out, in) or (out, in, k...)
        The weight; its magnitudes say which entries become zero first.
    pattern : Pattern or str, default "2:4"
        The pattern.
    solver : str, default "auto"
        Name of a registered solver.
    tolerance : float, default 0.005
        The bisection ends when the sparsity is known to this share.
    time_limit : float, default 5
        Seconds for each search.
    seed, workers : int
        As for :func:`permsolve.solve`.

    Returns
    -------
    LosslessStudy
        What was found, and how far it is from what is proven.

    Raises
    ------
    InvalidProblemError, InvalidPatternError, InvalidOptionError
        When an argument cannot be used.
    UnknownSolverError, SolverUnavailableError, UnsupportedProblemError
        As for :func:`permsolve.solve`.

    Examples
    --------
    >>> import numpy as np
    >>> study = lossless_sparsity(np.random.default_rng(0).random((16, 16)), time_limit=0.5)
    >>> study.lower <= study.sparsity <= study.given
    True
    """
    if not is_number(tolerance) or not 0.0 < tolerance < 1.0:
        raise InvalidOptionError(f"tolerance must be a share between 0 and 1, got {tolerance!r}")
    parsed = Pattern.parse(pattern)
    matrix = as_matrix(as_weight(weight))
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise InvalidProblemError(
            f"a weight must be finite: entry ({row}, {column}) is {matrix[row, column]}; clean it (numpy.nan_to_num)"
        )
    size = matrix.size
    ranks = _ranks(matrix)
    zeros = size - int(np.count_nonzero(matrix))
    best = np.arange(matrix.shape[1])
    reached = given = max(zeros, _zeros_needed(ranks, best, parsed))
    # What is still to be tried are the numbers of zeros from `low` up to `reached`.
    proven = low = max(zeros, _zeros_needed_by_rows(ranks, parsed))
    trials: list[LosslessTrial] = []
    while low < reached and (reached - low > tolerance * size or not trials):
        # The first search is for what may well be impossible: its permutation narrows the range at once.
        count = low + (reached - low) // 2 if trials else low
        result = solve(
            Problem((ranks >= count).astype(np.float32), parsed),
            solver,
            time_limit=time_limit,
            seed=seed,
            workers=workers,
        )
        nonzeros = size - count
        impossible = result.bound < nonzeros - 0.5  # whole numbers: a bound below them rules them out
        trials.append(
            LosslessTrial(count / size, result.value / nonzeros if nonzeros else 1.0, impossible, result.runtime)
        )
        needed = max(zeros, _zeros_needed(ranks, result.permutation, parsed))
        if needed < reached:
            reached, best = needed, np.array(result.permutation)
        if needed > count:
            low = count + 1
            proven = low if impossible else proven
    return LosslessStudy(
        parsed,
        reached / size,
        proven / size,
        given / size,
        best,
        tuple(sorted(trials, key=lambda trial: trial.sparsity)),
        solver,
    )


def _ranks(matrix: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each entry in the order in which :func:`prune_smallest` sets them to zero."""
    ranks = np.empty(matrix.size, np.int64)
    ranks[np.argsort(np.abs(matrix), axis=None, kind="stable")] = np.arange(matrix.size)
    return ranks.reshape(matrix.shape)


def _zeros_needed(ranks: NDArray[np.int64], permutation: NDArray[np.int64], pattern: Pattern) -> int:
    """How many of the smallest entries must be zero for a permutation to drop nothing.

    Of each row of each group all but the N largest.
    """
    padded = np.concatenate([ranks, np.full((ranks.shape[0], 1), -1)], axis=1)
    groups = np.minimum(to_groups(permutation, pattern), ranks.shape[1])  # padding columns hold nothing
    rest = np.sort(padded[:, groups], axis=2)[:, :, pattern.m - pattern.n - 1]
    return int(rest.max()) + 1


def _zeros_needed_by_rows(ranks: NDArray[np.int64], pattern: Pattern) -> int:
    """How many of the smallest entries must be zero in any case: of each row all but what the pattern keeps."""
    columns = ranks.shape[1]
    kept = pattern.kept_per_row(columns)
    return int(np.sort(ranks, axis=1)[:, columns - kept - 1].max()) + 1 if kept < columns else 0
