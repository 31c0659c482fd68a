"""The exchange matrix of a problem on the GPU."""

import threading
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from permsolve.errors import UnsupportedProblemError
from permsolve.kernels.device import _kernels as kernels

Groups = NDArray[np.int64]

THREADS = 128
# Most members whose thresholds are in memory at once, a multiple of TILE, and the share of the free memory that they
# may take.
CHUNK = 8192
CHUNK_SHARE = 0.25
# Shares of the free memory that a saliency may take, and then a whole matrix.
SALIENCY_SHARE = 0.6
MATRIX_SHARE = 0.6


def shortage(columns: int, rows: int) -> str | None:
    """Why a saliency of so many columns, with padding, does not fit on the GPU; None when it does."""
    needed, free = 4 * columns * _up(rows, kernels.DEPTH), _free_memory()
    if needed <= SALIENCY_SHARE * free:
        return None
    return (
        f"a saliency of {rows} x {columns} takes {needed / 2**30:.1f} GiB, and the GPU has {free / 2**30:.1f} GiB "
        "free: device='cpu' needs none"
    )


class DeviceExchange:
    """Rows of the exchange matrix of a saliency, which stays on the GPU.

    Entries lack the halves of the sums of whole columns, which cancel in every exchange of columns: an entry is
    ``E[i, x] - (sum(X[:, x]) - sum(X[:, i])) / 2`` (see :mod:`permsolve.kernels.exchange`). One thread at a time.

    Parameters
    ----------
    x : ndarray of float32, shape (columns with padding, rows)
        Saliency, columns first, finite and >= 0.
    n : int
        Entries kept per group and row.

    Raises
    ------
    UnsupportedProblemError
        When the saliency does not fit into the free memory.
    """

    def __init__(self, x: NDArray[np.float32], n: int) -> None:
        self.width, self.rows = x.shape
        self._n = n
        self._lock = threading.Lock()
        if (reason := shortage(self.width, self.rows)) is not None:
            raise UnsupportedProblemError(reason)
        filled = np.zeros((self.width, _up(self.rows, kernels.DEPTH)), np.float32)
        filled[:, : self.rows] = x
        self._x: Any = cuda.to_device(filled)
        affordable = min(CHUNK_SHARE * _free_memory() / (4 * filled.shape[1]), CHUNK)
        self._chunk = max(1, int(affordable) // kernels.TILE) * kernels.TILE
        self._e: Any = None
        self._all: Any = None

    def submatrix(self, groups: Groups, members: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """What each of some columns would gain in the place of each of some members.

        Parameters
        ----------
        groups : ndarray of int64, shape (G, M)
            Group matrix.
        members : ndarray of int64, shape (count, 2)
            Members as (group, position in group).
        columns : ndarray of int64, shape (width,)
            Columns that may come in.

        Returns
        -------
        ndarray of float32, shape (count, width)
        """
        count, width = members.shape[0], columns.shape[0]
        with self._lock:
            out: Any = cuda.device_array((count, width), np.float32)
            self._compute(groups, members, self._columns(columns), width, np.arange(count), out)
            result: NDArray[np.float32] = out.copy_to_host()
        return result

    def hold(self) -> None:
        """Make room for the whole matrix on the GPU.

        Raises
        ------
        UnsupportedProblemError
            When it does not fit into the free memory.
        """
        needed, free = 4 * self.width**2, _free_memory()
        if needed > MATRIX_SHARE * free:
            raise UnsupportedProblemError(
                f"the exchange matrix of {self.width} columns takes {needed / 2**30:.1f} GiB, and the GPU has "
                f"{free / 2**30:.1f} GiB free: the solver assignment needs none, nor does device='cpu'"
            )
        self._e = cuda.device_array((self.width, self.width), np.float32)
        self._all = self._columns(np.arange(self.width))

    def refresh(self, groups: Groups, changed: NDArray[np.int64]) -> None:
        """Recompute the rows of the members of some groups in the matrix that :meth:`hold` made."""
        m = groups.shape[1]
        members = np.column_stack([np.repeat(changed, m), np.tile(np.arange(m), changed.shape[0])])
        with self._lock:
            self._compute(groups, members, self._all, self.width, groups[changed].ravel(), self._e)

    def best_partners(self, where: NDArray[np.int64], real: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """For each column what its best swap gains, 0 when none does, and with which column of another group; -1: none.

        Parameters
        ----------
        where : ndarray of int64, shape (columns with padding,)
            Group of each column.
        real : int
            Columns below it may move.
        """
        with self._lock:
            gains: Any = cuda.device_array(self.width, np.float32)
            partners: Any = cuda.device_array(self.width, np.int64)
            blocks = -(-self.width // kernels.STRIP)
            kernels.best_partners[blocks, (kernels.WIDTH, kernels.STRIP)](
                self._e, cuda.to_device(where), real, gains, partners
            )
            return gains.copy_to_host(), partners.copy_to_host()

    def matrix(self) -> NDArray[np.float32]:
        """A copy of the matrix that :meth:`hold` made."""
        with self._lock:
            copy: NDArray[np.float32] = self._e.copy_to_host()
        return copy

    def synchronize(self) -> None:
        """Wait until all that was asked for is done."""
        cuda.synchronize()

    @staticmethod
    def _columns(columns: NDArray[np.int64]) -> Any:
        """Column numbers on the GPU, filled up to whole tiles."""
        filled = np.zeros(_up(columns.shape[0], kernels.TILE), np.int64)
        filled[: columns.shape[0]] = columns
        return cuda.to_device(filled)

    def _compute(
        self,
        groups: Groups,
        members: NDArray[np.int64],
        columns: Any,
        width: int,
        targets: NDArray[np.int64],
        out: Any,
    ) -> None:
        on_device = cuda.to_device(np.ascontiguousarray(groups))
        depth = self._x.shape[1]
        spans = -(-depth // kernels.SPAN)
        for begin in range(0, members.shape[0], self._chunk):
            chosen = cuda.to_device(np.ascontiguousarray(members[begin : begin + self._chunk]))
            count = chosen.shape[0]
            t: Any = cuda.device_array((_up(count, kernels.TILE), depth), np.float32)
            own: Any = cuda.device_array((count, spans), np.float32)
            rows = (-(-depth // THREADS), t.shape[0])
            kernels.thresholds[rows, THREADS](self._x, on_device, chosen, self._n, t)
            kernels.own_differences[(count, spans), kernels.LANES](self._x, on_device, chosen, t, own)
            tiles = (columns.shape[0] // kernels.TILE, t.shape[0] // kernels.TILE)
            kernels.exchange_rows[tiles, (kernels.SIDE, kernels.SIDE)](
                self._x,
                t,
                own,
                columns,
                cuda.to_device(np.ascontiguousarray(targets[begin : begin + self._chunk])),
                width,
                out,
            )


def _free_memory() -> float:
    """Bytes free on the GPU; infinite in the simulator."""
    return float(cuda.current_context().get_memory_info()[0])


def _up(size: int, step: int) -> int:
    """The least multiple of ``step`` from ``size`` on."""
    return -(-size // step) * step
