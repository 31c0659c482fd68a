"""Generators of weights: each a function of shape, seed and pattern, the same on every machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.instances.planted import planted, planted_optimum
from permsolve import Pattern
from permsolve.lossless import prune_smallest

Generate = Callable[[int, int, int, Pattern], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Family:
    """A way to make weights.

    Attributes
    ----------
    about : str
        What its weights are like, in a few words.
    generate : callable
        From (rows, columns, seed, pattern) to the weight.
    optimum : callable or None
        From the same arguments to the greatest value that a permutation can reach, where that is known.
    """

    about: str
    generate: Generate
    optimum: Callable[[int, int, int, Pattern], float] | None = None


def uniform(rows: int, columns: int, seed: int, pattern: Pattern) -> NDArray[np.float64]:
    """Uniform in [0, 1): the literature's ``np.random.seed(seed); np.random.rand(rows, columns)``."""
    legacy = np.random.RandomState(seed)  # the stream of np.random.seed, without its global state
    return legacy.rand(rows, columns)


def student(rows: int, columns: int, seed: int, pattern: Pattern) -> NDArray[np.float32]:
    """Student's t with 2 degrees of freedom: no variance, so that a few entries weigh as much as the others."""
    return np.random.default_rng(seed).standard_t(2.0, (rows, columns)).astype(np.float32)


def lognormal(rows: int, columns: int, seed: int, pattern: Pattern) -> NDArray[np.float32]:
    """Lognormal with a spread of 1.5."""
    return np.random.default_rng(seed).lognormal(0.0, 1.5, (rows, columns)).astype(np.float32)


def low_rank(rows: int, columns: int, seed: int, pattern: Pattern) -> NDArray[np.float32]:
    """Rank min(rows, columns) / 16, plus noise of a third of its size: columns resemble one another in magnitude."""
    rng = np.random.default_rng(seed)
    rank = max(1, min(rows, columns) // 16)
    left: NDArray[np.float64] = rng.standard_normal((rows, rank)) / np.sqrt(rank)
    product = left @ rng.standard_normal((rank, columns))
    return (product + rng.standard_normal((rows, columns)) / 3.0).astype(np.float32)


def scaled(rows: int, columns: int, seed: int, pattern: Pattern) -> NDArray[np.float32]:
    """Normal entries in columns of very different sizes: a few columns carry most of the weight."""
    rng = np.random.default_rng(seed)
    sizes = rng.lognormal(0.0, 1.0, columns)
    entries: NDArray[np.float64] = rng.standard_normal((rows, columns)) * sizes
    return entries.astype(np.float32)


def sparse(rows: int, columns: int, seed: int, pattern: Pattern, *, zeros: float) -> NDArray[np.float32]:
    """Normal entries, of which the smallest of the whole matrix are zeros already, as magnitude pruning leaves it."""
    entries = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    return prune_smallest(entries, zeros)


def duplicates(rows: int, columns: int, seed: int, pattern: Pattern) -> NDArray[np.float32]:
    """Each of M times fewer normal columns about M times over, shuffled: equal columns must be spread over groups."""
    rng = np.random.default_rng(seed)
    distinct = max(1, columns // pattern.m)
    entries = rng.standard_normal((rows, distinct)).astype(np.float32)
    return entries[:, rng.permutation(columns) % distinct]


def language(rows: int, columns: int, seed: int, pattern: Pattern) -> NDArray[np.float32]:
    """Normal float32 entries whose input channels differ mildly in size, one in 200 eight times larger.

    The shapes are those of language models and the outlying channels are what they are known for; the values are
    not a model's. Made in place: the matrices are large.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.lognormal(0.0, 0.25, columns).astype(np.float32)
    sizes[rng.permutation(columns)[: columns // 200]] *= 8.0
    entries = rng.standard_normal((rows, columns), dtype=np.float32)
    entries *= sizes
    return entries


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "uniform": Family("uniform in [0, 1), as published", uniform),
        "student": Family("heavy tails: Student's t, 2 degrees of freedom", student),
        "lognormal": Family("heavy tails: lognormal, spread 1.5", lognormal),
        "lowrank": Family("low rank and noise", low_rank),
        "scaled": Family("columns of very different sizes", scaled),
        "sparse50": Family("half zeros", partial(sparse, zeros=0.5)),
        "sparse60": Family("60 % zeros", partial(sparse, zeros=0.6)),
        "sparse70": Family("70 % zeros", partial(sparse, zeros=0.7)),
        "duplicates": Family("each column M times", duplicates),
        "planted": Family("a perfect permutation is hidden: the optimum is known", planted, planted_optimum),
        "lm": Family("shapes of language models, outlying channels", language),
    }
)
