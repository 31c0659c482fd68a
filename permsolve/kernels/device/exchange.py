"""The exchange matrix of a problem on the GPU."""

import math
import threading
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from permsolve.errors import UnsupportedProblemError
from permsolve.kernels.device import _kernels as kernels
from permsolve.kernels.device.availability import multiprocessors

Groups = NDArray[np.int64]

THREADS = 128
# Most members whose thresholds are in memory at once, a multiple of TILE, and the share of the free memory that they
# may take.
CHUNK = 8192
CHUNK_SHARE = 0.25
# Shares of the free memory that a saliency may take, and then a whole matrix.
SALIENCY_SHARE = 0.6
MATRIX_SHARE = 0.6
# Entries that are copied to the GPU at once where they must be filled up first.
UPLOAD = 1 << 25
# Blocks of the exchange kernel for every multiprocessor, at least, if there are so many spans: four waves of two.
BLOCKS = 8


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
        self._x: Any = _uploaded(x)
        affordable = min(CHUNK_SHARE * _free_memory() / (4 * self._x.shape[1]), CHUNK)
        self._chunk = max(1, int(affordable) // kernels.TILE) * kernels.TILE
        self._e: Any = None
        self._all: Any = None
        self._held: dict[str, Any] = {}

    def submatrix(
        self, groups: Groups, members: NDArray[np.int64], columns: NDArray[np.int64], out: NDArray[np.float32]
    ) -> None:
        """What each of some columns would gain in the place of each of some members.

        Parameters
        ----------
        groups : ndarray of int64, shape (G, M)
            Group matrix.
        members : ndarray of int64, shape (count, 2)
            Members as (group, position in group).
        columns : ndarray of int64, shape (width,)
            Columns that may come in.
        out : ndarray of float32, shape (count, at least width), C order
            Receives the entries; columns beyond get any numbers.
        """
        with self._lock:
            room = self._room("out", out.shape)
            self._compute(groups, members, self._columns(columns), columns.shape[0], np.arange(len(members)), room)
            room.copy_to_host(out)

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

    def group_values(self, groups: Groups) -> NDArray[np.float64]:
        """What groups keep, summed in float64: as :func:`permsolve.kernels.scoring.group_values` on the CPU.

        Parameters
        ----------
        groups : ndarray of int64, shape (count, M)
            Column numbers of each group.

        Returns
        -------
        ndarray of float64, shape (count,)
        """
        count = groups.shape[0]
        if count == 0:
            return np.empty(0, np.float64)
        stretches = -(-self._x.shape[1] // kernels.STRETCH)
        with self._lock:
            out: Any = cuda.device_array((count, stretches), np.float64)
            kernels.kept[(count, stretches), kernels.LANES](
                self._x, cuda.to_device(np.ascontiguousarray(groups)), self._n, out
            )
            sums: NDArray[np.float64] = out.copy_to_host().sum(axis=1)
        return sums

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
            t = self._room("t", (_up(count, kernels.TILE), depth))
            own = self._room("own", (count, spans))
            rows = (-(-depth // THREADS), t.shape[0])
            kernels.thresholds[rows, THREADS](self._x, on_device, chosen, self._n, t)
            kernels.own_differences[(count, spans), kernels.LANES](self._x, on_device, chosen, t, own)
            tiles = (columns.shape[0] // kernels.TILE, t.shape[0] // kernels.TILE)
            parts, each = _parts(tiles[0] * tiles[1], spans)
            chosen_targets = cuda.to_device(np.ascontiguousarray(targets[begin : begin + self._chunk]))
            block = (kernels.SIDE, kernels.SIDE)
            if parts == 1:
                kernels.exchange_rows[tiles, block](
                    self._x, t, own, columns, chosen_targets, width, each, out.reshape(1, *out.shape)
                )
                continue
            sums = self._room("sums", (parts, count, width))
            kernels.exchange_rows[(*tiles, parts), block](
                self._x, t, own, columns, cuda.to_device(np.arange(count)), width, each, sums
            )
            kernels.add_parts[(-(-width // THREADS), count), THREADS](sums, chosen_targets, out)

    def _room(self, name: str, shape: tuple[int, ...]) -> Any:
        """Float32 entries on the GPU for what is forgotten after a call: the same as last time if they are enough."""
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.shape[0] < size:
            self._held[name] = held = None  # freed before more is taken
            self._held[name] = held = cuda.device_array(size, np.float32)
        return held[:size].reshape(*shape)


def _uploaded(x: NDArray[np.float32]) -> Any:
    """A saliency on the GPU, rows filled up to whole slabs by zeros."""
    width, rows = x.shape
    depth = _up(rows, kernels.DEPTH)
    if depth == rows:
        return cuda.to_device(x)
    out: Any = cuda.device_array((width, depth), np.float32)
    step = max(1, UPLOAD // depth)
    for begin in range(0, width, step):
        part = x[begin : begin + step]
        out[begin : begin + step].copy_to_device(np.pad(part, ((0, 0), (0, depth - rows))))
    return out


def _parts(tiles: int, spans: int) -> tuple[int, int]:
    """Into how many parts the spans of so many tiles are cut, none empty, and how many spans each has."""
    wanted = min(spans, -(-BLOCKS * multiprocessors() // tiles))
    each = -(-spans // wanted)
    return -(-spans // each), each


def _free_memory() -> float:
    """Bytes free on the GPU, what numba has yet to give back included; infinite in the simulator."""
    context = cuda.current_context()
    pending = getattr(getattr(context, "memory_manager", None), "deallocations", None)  # none in the simulator
    if pending is not None:
        pending.clear()
    return float(context.get_memory_info()[0])


def _up(size: int, step: int) -> int:
    """The least multiple of ``step`` from ``size`` on."""
    return -(-size // step) * step
