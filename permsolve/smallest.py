"""How many of the smallest entries of a weight must be zero for a permutation to drop nothing.

Which of several equal entries become zero first is free, and here chosen for the best: so many zeros do when *some* set
of so many entries, none of which is larger than one that stays, is what *some* permutation drops. What is proven
impossible is so for every choice. For a permutation, let t be the largest entry that some group of a row has to drop.
Then all entries below t must be zero, and of those equal to t each group those that it has no room for.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import InvalidProblemError
from permsolve.pattern import Pattern
from permsolve.permutation import to_groups
from permsolve.problem import Problem
from permsolve.weights import as_matrix, working_dtype

# Sums of whole numbers up to this are told apart, though a bound holds only up to a share of 1e-9.
_MOST_VALUE = 2**27
_ROUNDING = 2e-9
_HAIR = 1e-6


class Entries:
    """The magnitudes of a weight, read as a matrix, and how many of the smallest must be zero.

    Parameters
    ----------
    weight : ndarray
        The weight.
    pattern : Pattern
        The pattern.
    """

    def __init__(self, weight: NDArray[Any], pattern: Pattern) -> None:
        refuse_not_finite(weight)
        self.pattern = pattern
        self.magnitudes = np.abs(as_matrix(weight))
        self.size = int(self.magnitudes.size)
        self._ordered = np.sort(self.magnitudes, axis=None)
        self._zeros = self.below(0.0, included=True)

    def below(self, value: float, *, included: bool = False) -> int:
        """How many entries are less than a value, or at most as large."""
        return int(np.searchsorted(self._ordered, value, "right" if included else "left"))

    def level(self, count: int) -> "Level":
        """What so many zeros mean; fewer than there are entries."""
        value = self._ordered[count]
        below, through = self.below(value), self.below(value, included=True)
        return Level(count, float(value), count - below, through - below, self.size - through)

    def grouped(self, permutation: NDArray[np.int64]) -> NDArray[Any]:
        """The entries by row, group and place in it; padding columns hold -1."""
        padded = np.concatenate([self.magnitudes, np.full_like(self.magnitudes[:, :1], -1.0)], axis=1)
        return padded[:, np.minimum(to_groups(permutation, self.pattern), self.magnitudes.shape[1])]

    def needed(self, permutation: NDArray[np.int64]) -> int:
        """How many zeros it takes for a permutation to drop nothing, and those that there are in any case."""
        return self._needed(self.grouped(permutation), self.pattern.n)

    def needed_by_rows(self) -> int:
        """How many zeros it takes for every permutation: of each row all but what the pattern keeps."""
        columns = self.magnitudes.shape[1]
        kept = self.pattern.kept_per_row(columns)
        return self._needed(self.magnitudes, kept) if kept < columns else self._zeros

    def _needed(self, sets: NDArray[Any], kept: int) -> int:
        """How many zeros it takes for each set, along the last axis, to have no more nonzeros than it keeps."""
        value = float(_largest_dropped(sets, kept).max())
        if value <= 0.0:
            return self._zeros
        # Some set has to drop an entry of this value: everything below is zero, too.
        surplus = np.maximum((sets >= value).sum(axis=-1) - kept, 0)
        return self.below(value) + int(surplus.sum())

    def surplus(self, permutation: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which entries to set to zero, so many as needed, for a permutation to drop nothing; in the original order."""
        sets = self.grouped(permutation)
        value = float(_largest_dropped(sets, self.pattern.n).max())
        rows, columns = self.magnitudes.shape
        gone = np.zeros((rows, columns + 1), np.bool_)
        if value > 0.0:
            gone[:, :columns] = self.magnitudes < value
            equal = sets == value
            room = self.pattern.n - (sets > value).sum(axis=-1, keepdims=True)
            groups = np.minimum(to_groups(permutation, self.pattern), columns)
            gone[:, groups] |= equal & (np.cumsum(equal, axis=-1) > room)
        return gone[:, :columns]


@dataclass(frozen=True, slots=True)
class Level:
    """What it means that so many entries are zero: the largest of them, or the smallest others, have this value.

    Attributes
    ----------
    count : int
        How many are zero.
    value : float
        Entries below are all zero, those above are not.
    free : int
        Of the equal ones, so many are zero, whichever.
    equal, above : int
        How many entries are equal to the value, and above.
    """

    count: int
    value: float
    free: int
    equal: int
    above: int

    @property
    def _dear(self) -> int:
        """What an entry above the value is worth, where one equal to it is worth 1: more than all that may be dropped.

        As far as whole numbers of that size are told apart in the sums.
        """
        return max(1, min(self.free + 1, _MOST_VALUE // max(1, self.above)))

    def problem(self, entries: Entries) -> Problem:
        """The problem whose best permutation drops nothing, if any does, with the best choice of equal entries.

        It drops no more than ``free`` of those that are equal.
        """
        worth = np.where(entries.magnitudes > self.value, np.float32(self._dear), np.float32(0.0))
        worth[entries.magnitudes == self.value] = 1.0
        return Problem(worth, entries.pattern)

    def least(self, bound: float) -> int:
        """How many zeros every permutation needs, when none keeps more of the problem than a bound; 0 says nothing.

        A permutation that needs none of the entries above to be zero drops only some of the equal ones, all below being
        zero when it drops any; one that does need any needs all of the equal ones to be zero.
        """
        whole = float(self._dear) * self.above + self.equal
        dropped = math.ceil(whole - bound - _ROUNDING * whole - _HAIR)
        return self.count - self.free + min(self.equal, dropped) if dropped > 0 else 0

    def kept(self, entries: Entries, permutation: NDArray[np.int64]) -> float:
        """Share of the nonzeros that a permutation keeps, of the equal ones those zero that it would drop."""
        sets, n = entries.grouped(permutation), entries.pattern.n
        above = np.minimum((sets > self.value).sum(axis=-1), n)
        equal = np.minimum((sets == self.value).sum(axis=-1), n - above)
        lost = self.above - int(above.sum()) + max(0, self.equal - self.free - int(equal.sum()))
        return 1.0 - lost / (entries.size - self.count)


def _largest_dropped(sets: NDArray[Any], kept: int) -> NDArray[Any]:
    """Of each set along the last axis the largest entry that is not among those kept."""
    place = sets.shape[-1] - kept - 1
    dropped: NDArray[Any] = np.partition(sets, place, axis=-1)[..., place]
    return dropped


def refuse_not_finite(weight: NDArray[Any]) -> None:
    """Refuse a weight of which an entry has no magnitude.

    Raises
    ------
    InvalidProblemError
        Naming the entry.
    """
    values = weight.astype(working_dtype(weight.dtype), copy=False)
    if not np.isfinite(values).all():
        place = tuple(int(k) for k in np.argwhere(~np.isfinite(values))[0])
        raise InvalidProblemError(
            f"a weight must be finite: entry {place} is {values[place]} (numpy.nan_to_num cleans)"
        )
