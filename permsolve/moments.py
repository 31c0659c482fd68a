"""What is known about the inputs of a layer: their mean squares, or all their second moments."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import lapack

from permsolve.arithmetic import own_arithmetic
from permsolve.checks import real_array
from permsolve.errors import InvalidOptionError, InvalidProblemError

# As in SparseGPT (Frantar & Alistarh 2023).
DAMPING = 0.01
_SYMMETRY = 1e-4
# Mean squares below this are rounded to nothing, or nearly, in second moments of float32.
_TINY = float(np.finfo(np.float32).tiny)
_STRIP = 256
_NOT_FINITE = "second moments of inputs must be finite: clean the calibration data"


class InputMoments:
    """Second moments of what a linear layer or a convolution reads, about zero, per sample; not to be changed.

    The features of one group of a convolution are flattened as ``weight.reshape(out, -1)`` flattens its weight: channel
    first, then the places of the kernel, ``d = in / groups * k...``. A sample is one row that the flattened weight is
    multiplied by (a token, a place of an image). As these are means, ``||x||`` of a feature is
    ``sqrt(mean_square)`` here, without the factor ``sqrt(samples)`` that sums would have: no order or mask of one layer
    depends on it, and layers that are weighed against one another count alike per sample.

    Parameters
    ----------
    mean_square : array_like, shape (d,) or (groups, d)
        Mean of the squares of each feature, kept as float64.
    second_moment : array_like, shape (d, d) or (groups, d, d), optional
        Mean of ``x x^T``; float32 stays float32, everything else becomes float64. Its diagonal is ``mean_square``
        (what is below the smallest normal number of float32 may be 0 there). An array that is mapped from a file stays
        there.
    samples : int, default 0
        How many samples were seen, 0 when unknown.

    Attributes
    ----------
    mean_square : ndarray of float64, shape (groups, d)
    samples : int

    Raises
    ------
    InvalidProblemError
        When a shape does not fit, an entry is not finite, a mean square is negative, or the second moments are
        not symmetric or have another diagonal.

    Examples
    --------
    >>> moments = InputMoments.from_samples([[1.0, 0.0], [3.0, 2.0]])
    >>> moments
    InputMoments(1 group of 2 features, full, 2 samples)
    >>> moments.mean_square, moments.second_moment
    (array([[5., 2.]]), array([[[5., 3.],
            [3., 2.]]]))
    """

    @own_arithmetic
    def __init__(self, mean_square: ArrayLike, second_moment: ArrayLike | None = None, samples: int = 0) -> None:
        means = np.array(real_array("mean squares", mean_square), np.float64, ndmin=2)
        if means.ndim != 2 or means.size == 0:
            raise InvalidProblemError(f"mean squares have shape (features,) or (groups, d), got {means.shape}")
        if not (np.isfinite(means) & (means >= 0.0)).all():
            raise InvalidProblemError("mean squares of inputs must be finite and >= 0: clean the calibration data")
        if samples < 0:
            raise InvalidProblemError(f"the number of samples must be >= 0, got {samples}")
        second = None
        if second_moment is not None:
            second = _float(second_moment)
            second = second[np.newaxis] if second.ndim == 2 else second
            _check_second(second, means)
        self._set(means, second, None, samples, {})

    def _set(
        self,
        mean_square: NDArray[np.float64],
        second: NDArray[Any] | None,
        places: NDArray[np.int64] | None,
        samples: int,
        inverses: dict[float, NDArray[np.float64]],
    ) -> None:
        for array in (mean_square, second, *inverses.values()):
            if array is not None:
                array.flags.writeable = False
        self.mean_square = mean_square
        self.samples = samples
        # Feature i of group g is feature places[g, i] of the second moments as they are stored: re-ordering them takes
        # the memory once more, and a network has many.
        self._second = second
        self._places = places
        self._inverses = inverses

    @classmethod
    @own_arithmetic
    def from_second_moment(cls, second_moment: ArrayLike, samples: int = 0) -> "InputMoments":
        """The moments whose matrix of second moments is given; see the class."""
        second = _float(second_moment)
        if second.ndim not in (2, 3) or second.shape[-1] != second.shape[-2]:
            raise InvalidProblemError(f"second moments have shape (d, d) or (groups, d, d), got {second.shape}")
        return cls(np.diagonal(second, axis1=-2, axis2=-1), second, samples)

    @classmethod
    @own_arithmetic
    def uniform(cls, groups: int, features: int, mean_square: float) -> "InputMoments":
        """Moments of features that are all alike and independent, as if no sample was seen: of a few numbers only."""
        means = np.full((groups, features), float(mean_square))
        line = np.zeros(2 * features - 1)
        line[features - 1] = mean_square
        step = line.itemsize  # entry (i, j) is line[features - 1 - i + j]
        second = np.lib.stride_tricks.as_strided(
            line[features - 1 :], (groups, features, features), (0, -step, step), writeable=False
        )
        new = object.__new__(cls)
        new._set(means, second, None, 0, {DAMPING: np.full((groups, features), 1.0 / (mean_square * (1.0 + DAMPING)))})
        return new

    @classmethod
    @own_arithmetic
    def from_samples(cls, samples: ArrayLike) -> "InputMoments":
        """All moments of samples, in float64.

        Parameters
        ----------
        samples : array_like, shape (n, d) or (n, groups, d)
            One sample a row.
        """
        x = np.asarray(real_array("samples", samples), np.float64)
        if x.ndim not in (2, 3) or x.shape[0] == 0:
            raise InvalidProblemError(f"samples have shape (n, d) or (n, groups, d) with n > 0, got {x.shape}")
        by_group = np.moveaxis(x.reshape(x.shape[0], -1, x.shape[-1]), 0, 1)
        return cls.from_second_moment(by_group.transpose(0, 2, 1) @ by_group / x.shape[0], x.shape[0])

    def __repr__(self) -> str:
        kind = "full" if self.full else "diagonal"
        groups = f"{self.groups} group{'s' if self.groups > 1 else ''}"
        return f"InputMoments({groups} of {self.features} features, {kind}, {self.samples} samples)"

    @property
    def full(self) -> bool:
        """Whether all second moments are known."""
        return self._second is not None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the second moments, or of the mean squares where those are not known."""
        return self.mean_square.dtype if self._second is None else self._second.dtype

    @property
    def second_moment(self) -> NDArray[Any] | None:
        """Mean of ``x x^T``, float64 or float32, shape (groups, d, d), or None; a copy where features were re-ordered.

        Of one group at a time less memory is needed: :meth:`second_moment_of`.
        """
        if self._second is None or self._places is None:
            return self._second
        return np.stack([self.second_moment_of(group) for group in range(self.groups)])

    @own_arithmetic
    def second_moment_of(self, group: int) -> NDArray[Any]:
        """Mean of ``x x^T`` of one group, shape (d, d), float64 or float32.

        Raises
        ------
        InvalidOptionError
            When only mean squares are known.
        """
        if self._second is None:
            raise InvalidOptionError("only mean squares of the inputs are known: calibrate with moments='full'")
        stored: NDArray[Any] = self._second[group]
        if self._places is None:
            return stored
        places = self._places[group]
        return stored[np.ix_(places, places)]

    @property
    def groups(self) -> int:
        """Number of groups of the convolution, 1 for a linear layer."""
        return int(self.mean_square.shape[0])

    @property
    def features(self) -> int:
        """Number of features of one group."""
        return int(self.mean_square.shape[1])

    def group(self, start: int, stop: int | None = None) -> "InputMoments":
        """The moments of one group, or of groups ``start .. stop - 1``; nothing is copied."""
        if start == 0 and (self.groups if stop is not None else 1) == (stop or self.groups):
            return self
        part = slice(start, start + 1 if stop is None else stop)
        return self._chosen(part)

    def of_rows(self, rows: tuple[int, int], total: int) -> "InputMoments":
        """What rows ``rows[0] .. rows[1] - 1`` of a weight with ``total`` rows read.

        Raises
        ------
        InvalidProblemError
            When they are neither within one group nor whole groups.
        """
        each = total // self.groups
        first, last = rows[0] // each, -(-rows[1] // each)
        if last - first > 1 and (rows[0] % each or rows[1] % each):
            raise InvalidProblemError(f"rows {rows} are no whole groups of {each} rows")
        return self.group(first, last)

    @own_arithmetic
    def damped(self, group: int = 0, damping: float = DAMPING) -> NDArray[np.float64]:
        """Second moments of one group plus ``damping`` times the mean of their diagonal, a new float64 matrix (d, d).

        The mean is taken over inputs that are not always zero; those that are get a 1 on the diagonal, so that the
        matrix can be inverted and nothing is said about them.

        Raises
        ------
        InvalidOptionError
            When only mean squares are known, or the damping is negative.
        """
        if not damping >= 0.0:
            raise InvalidOptionError(f"damping must be >= 0, got {damping!r}")
        matrix = np.array(self.second_moment_of(group), np.float64)
        diagonal = self.mean_square[group]  # in float64: in float32 the smallest are rounded to 0
        live = diagonal > 0.0
        matrix[np.diag_indices_from(matrix)] = np.where(
            live, diagonal + damping * diagonal[live].mean() if live.any() else 0.0, 1.0
        )
        return matrix

    @own_arithmetic
    def inverse_diagonal(self, damping: float = DAMPING) -> NDArray[np.float64]:
        """Diagonal of the inverse of :meth:`damped`, shape (groups, d); infinite for inputs that are always zero.

        It is computed once, by Cholesky's decomposition in float64, and remembered.

        Raises
        ------
        InvalidOptionError
            When only mean squares are known, or the matrix is not positive definite.
        """
        if damping not in self._inverses:
            found = np.stack([_inverse_diagonal(self.damped(group, damping)) for group in range(self.groups)])
            found[self.mean_square == 0.0] = np.inf
            found.flags.writeable = False
            self._inverses[damping] = found
        return self._inverses[damping]

    @own_arithmetic
    def permuted(self, order: ArrayLike, kernel: int = 1, groups: Sequence[int] | None = None) -> "InputMoments":
        """The moments after axis 1 of the weight was re-ordered: ``weight[:, order]``.

        Parameters
        ----------
        order : array_like of int, shape (in / groups,)
            Index of the channels.
        kernel : int, default 1
            Number of places of the kernel.
        groups : sequence of int, optional
            The groups of the convolution that were re-ordered; all without it.

        Raises
        ------
        InvalidProblemError
            When the order has another length.
        """
        index = np.asarray(order, np.int64)
        if index.shape != (self.features // kernel,) or self.features % kernel:
            raise InvalidProblemError(
                f"an order of shape {index.shape} with {kernel} places each does not fit {self.features} features"
            )
        places = (index[:, np.newaxis] * kernel + np.arange(kernel)).ravel()
        chosen = range(self.groups) if groups is None else groups
        mean_square = self.mean_square.copy()
        inverses = {damping: known.copy() for damping, known in self._inverses.items()}
        stored = np.tile(np.arange(self.features), (self.groups, 1)) if self._places is None else self._places.copy()
        for group in chosen:
            for one in (mean_square, stored, *inverses.values()):
                one[group] = one[group, places]
        return self._made(mean_square, self._second, stored if self.full else None, inverses)

    def stored(self, put: Callable[[NDArray[Any]], NDArray[Any]]) -> "InputMoments":
        """The same, with what ``put`` returns in the place of the second moments: as they lie on disk."""
        second = None if self._second is None else put(self._second)
        return self._made(self.mean_square, second, self._places, self._inverses)

    def regrouped(self, order: ArrayLike) -> "InputMoments":
        """The moments after the groups of the convolution were re-ordered: group ``i`` is what ``order[i]`` was."""
        return self._chosen(np.asarray(order, np.int64))

    def _chosen(self, groups: slice | NDArray[np.int64]) -> "InputMoments":
        """Those of some groups, with what is known of their inverse."""
        second, places = (None if one is None else one[groups] for one in (self._second, self._places))
        inverses = {damping: known[groups] for damping, known in self._inverses.items()}
        return self._made(self.mean_square[groups], second, places, inverses)

    def _made(
        self,
        mean_square: NDArray[np.float64],
        second: NDArray[Any] | None,
        places: NDArray[np.int64] | None,
        inverses: dict[float, NDArray[np.float64]],
    ) -> "InputMoments":
        """Moments made of these, which need no new checks."""
        new = object.__new__(InputMoments)
        new._set(mean_square, second, places, self.samples, inverses)
        return new


def _float(values: ArrayLike) -> NDArray[Any]:
    array = real_array("second moments", values)
    return (array if array.dtype == np.float32 else array.astype(np.float64, copy=False)).view()


def _check_second(second: NDArray[Any], mean_square: NDArray[np.float64]) -> None:
    groups, features = mean_square.shape
    if second.shape != (groups, features, features):
        raise InvalidProblemError(
            f"second moments of {groups} groups of {features} features have shape {(groups, features, features)}, "
            f"got {second.shape}"
        )
    lost = 0.0 if second.dtype == np.float64 else _TINY
    for group, diagonal in zip(second, mean_square, strict=True):
        if not np.allclose(np.diagonal(group), diagonal, rtol=_SYMMETRY, atol=lost):
            if not np.isfinite(np.diagonal(group)).all():
                raise InvalidProblemError(_NOT_FINITE)
            raise InvalidProblemError("the diagonal of the second moments must be the mean squares")
        atol = _SYMMETRY * float(diagonal.max())
        for start in range(0, features, _STRIP):  # of a large matrix no more than that is looked at at a time
            strip = group[start : start + _STRIP]
            if not np.isfinite(strip).all():
                raise InvalidProblemError(_NOT_FINITE)
            if not np.allclose(strip, group[:, start : start + _STRIP].T, rtol=_SYMMETRY, atol=atol):
                raise InvalidProblemError("second moments of inputs must be symmetric: a mean of x x^T is")


def _inverse_diagonal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Diagonal of the inverse of a positive definite matrix, which is overwritten: with H = U^T U that of U^-1 U^-T."""
    # The transpose, which is the same matrix, is what LAPACK sees as columns: no copy is made.
    factor, failed = lapack.dpotrf(matrix.T, lower=0, clean=1, overwrite_a=1)
    if not failed:
        inverse, failed = lapack.dtrtri(factor, lower=0, overwrite_c=1)
    if failed:
        raise InvalidOptionError("the second moments are not positive definite: choose a larger damping")
    diagonal: NDArray[np.float64] = np.einsum("ij,ij->i", inverse, inverse)
    return diagonal
