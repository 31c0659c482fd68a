"""How sparse must a weight be for a permutation to make it N:M without dropping a nonzero?

Pool & Yu (NeurIPS 2021, figure 4) set the smallest entries of a matrix to zero, more and more of them, and ask when a
permutation is found under which the N:M pattern keeps all the others.

Which of several equal entries become zero first is free, and chosen for the best (:mod:`permsolve.smallest`).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.api import solve
from permsolve.arithmetic import own_arithmetic
from permsolve.checks import is_number
from permsolve.errors import InvalidOptionError, InvalidProblemError
from permsolve.pattern import Pattern
from permsolve.smallest import Entries, refuse_not_finite
from permsolve.status import StopReason
from permsolve.weights import as_array, as_weight, working_dtype


@dataclass(frozen=True, slots=True)
class LosslessTrial:
    """One sparsity that was tried.

    Attributes
    ----------
    sparsity : float
        Share of the entries that are zero.
    kept : float
        Share of the nonzeros that the best permutation found keeps, of equal entries those zero that it would drop; 1
        when none is dropped.
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
        Share of zeros from which on :attr:`permutation` drops nothing (see :meth:`prune`): an upper bound of the least
        possible, since a search that fails proves nothing.
    lower : float
        Below this share every permutation drops something, whichever of equal entries are zero: proven.
    given : float
        Share of zeros from which on the given order drops nothing.
    permutation : ndarray of int64, shape (columns,)
        The permutation that :attr:`sparsity` is about.
    trials : tuple of LosslessTrial
        What was tried, by sparsity.
    solver : str
        Name of the solver.
    interrupted : bool
        Whether Ctrl-C ended it before the sparsity was known to the tolerance.
    """

    pattern: Pattern
    sparsity: float
    lower: float
    given: float
    permutation: NDArray[np.int64]
    trials: tuple[LosslessTrial, ...]
    solver: str
    interrupted: bool = False

    def prune(self, weight: Any) -> NDArray[Any]:
        """A copy of the weight with the share :attr:`sparsity` of zeros, of which :attr:`permutation` drops nothing.

        The smallest entries are zero, of equal ones those that the permutation has no room for.

        Parameters
        ----------
        weight : array_like, shape (out, in) or (out, in, k...)
            The weight that was studied.

        Returns
        -------
        ndarray
            Of the same shape and dtype, its columns in their original order.

        Raises
        ------
        InvalidProblemError
            When it is no weight, not finite, or has another number of columns.
        """
        array = as_weight(weight)
        entries = Entries(array, self.pattern)
        if entries.magnitudes.shape[1] != self.permutation.shape[0]:
            raise InvalidProblemError(
                f"the permutation orders {self.permutation.shape[0]} columns: axis 1 of shape {array.shape} must have "
                "as many"
            )
        gone = entries.surplus(self.permutation)
        shaped = np.moveaxis(gone.reshape(array.shape[0], *array.shape[2:], array.shape[1]), -1, 1)
        return np.where(shaped, array.dtype.type(0), array)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "pattern": str(self.pattern),
            "solver": self.solver,
            "interrupted": self.interrupted,
            "sparsity": self.sparsity,
            "proven_lower": self.lower,
            "given_order": self.given,
            "trials": [asdict(trial) for trial in self.trials],
            "permutation": self.permutation.tolist(),
        }


@own_arithmetic
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
    InvalidProblemError
        When an entry is not finite.
    """
    if not is_number(sparsity) or not 0.0 <= sparsity <= 1.0:
        raise InvalidOptionError(f"a sparsity is a share from 0 to 1, got {sparsity!r}")
    pruned = np.array(as_array(weight), order="C")
    pruned.ravel()[_by_magnitude(pruned)[: round(sparsity * pruned.size)]] = 0
    return pruned


@own_arithmetic
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
    which is read off the entries, whether or not it was lossless where it was searched. Of equal entries those are zero
    for which there is no room. Ctrl-C, or too little memory for another search, ends it with what is known by then.

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
    entries = Entries(as_weight(weight), parsed)
    size = entries.size
    best = np.arange(entries.magnitudes.shape[1])
    reached = given = entries.needed(best)
    # What is still to be tried are the numbers of zeros from `low` up to `reached`.
    proven = low = entries.needed_by_rows()
    trials: list[LosslessTrial] = []
    interrupted = False
    while not interrupted and low < reached and (reached - low > tolerance * size or not trials):
        # The first search is for what may well be impossible: its permutation narrows the range at once.
        level = entries.level(low + (reached - low) // 2 if trials else low)
        try:
            result = solve(level.problem(entries), solver, time_limit=time_limit, seed=seed, workers=workers)
        except MemoryError:
            if not trials:
                raise
            break
        possible = level.least(result.bound)
        trials.append(
            LosslessTrial(
                level.count / size,
                level.kept(entries, result.permutation),
                possible > level.count,
                result.runtime,
            )
        )
        needed = entries.needed(result.permutation)
        if needed < reached:
            reached, best = needed, np.array(result.permutation)
        proven = max(proven, possible)
        low = max(low, proven, level.count + 1 if needed > level.count else low)
        interrupted = result.stop_reason == StopReason.INTERRUPTED
    return LosslessStudy(
        parsed,
        reached / size,
        proven / size,
        given / size,
        best,
        tuple(sorted(trials, key=lambda trial: trial.sparsity)),
        solver,
        interrupted,
    )


def _by_magnitude(weight: NDArray[Any]) -> NDArray[np.int64]:
    """Places of all entries in the flat weight, the smallest first."""
    refuse_not_finite(weight)
    values = weight.astype(working_dtype(weight.dtype), copy=False)  # the least integer has no positive counterpart
    return np.argsort(np.abs(values), axis=None, kind="stable")
