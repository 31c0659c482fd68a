"""Weights in which a permutation that loses nothing is hidden, so that the optimum is known."""

import numpy as np
from numpy.typing import NDArray

from bench.instances.errors import UnknownInstanceError
from permsolve import Pattern

# Entries are integers divided by this, so that every sum of them is exact in float64.
UNIT = 1024


def plant(rows: int, columns: int, seed: int, pattern: Pattern) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A weight, and the permutation of its columns that keeps the N/M largest entries of every row.

    In each row and each of the hidden groups, N entries at random places are at least 1 and the others below 1: the
    hidden order keeps all the large ones, which is the bound that no permutation can pass.

    Raises
    ------
    UnknownInstanceError
        When the number of columns is not a multiple of M.
    """
    if columns % pattern.m:
        raise UnknownInstanceError(f"planted-{rows}x{columns}: {columns} columns are not a multiple of {pattern.m}")
    rng = np.random.default_rng(seed)
    groups = columns // pattern.m
    entries = rng.integers(0, UNIT, (rows, groups, pattern.m))
    # Places 0 to M - 1 in random order: those below N get the large entries.
    places = rng.permuted(np.broadcast_to(np.arange(pattern.m), entries.shape), axis=2)
    hidden = (entries + UNIT * (places < pattern.n)).reshape(rows, columns)
    permutation = rng.permutation(columns)
    weight = np.empty((rows, columns), np.float32)
    weight[:, permutation] = hidden / UNIT
    return weight, permutation


def planted(rows: int, columns: int, seed: int, pattern: Pattern) -> NDArray[np.float32]:
    """The weight of :func:`plant`."""
    return plant(rows, columns, seed, pattern)[0]


def planted_optimum(rows: int, columns: int, seed: int, pattern: Pattern) -> float:
    """The optimum of :func:`plant`: the sum of the large entries."""
    weight = planted(rows, columns, seed, pattern)
    return float(weight[weight >= 1.0].sum(dtype=np.float64))
