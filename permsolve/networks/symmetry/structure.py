"""The symmetry structure of a network: channels, and what ties them together.

A *vertex* is one position of one axis of one parameter. Operators add *links* (two vertices must move together) and
*marks* (a vertex may only be exchanged for one that carries the same marks). Every automorphism of this structure,
a renaming of the vertices that respects all links and marks, is a way to permute the parameters that leaves the
function of the network as it is.
"""

from bisect import bisect_right
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class Structure:
    """Vertices with labelled links and marks, collected while a graph is walked.

    A label belongs to the call that made it: labels of different calls never agree.

    Attributes
    ----------
    size : int
        Number of vertices.
    origin : str
        In plain words, on whose behalf links and marks are added now.
    """

    def __init__(self) -> None:
        self.size = 0
        self.origin = ""
        self._origins: list[tuple[int, str]] = []
        self._labels = 0
        self._links: list[tuple[Indices, Indices, Indices]] = []
        self._marks: list[tuple[Indices, Indices]] = []
        self._soft_marks: list[tuple[Indices, Indices]] = []

    def fresh(self, count: int) -> Indices:
        """Numbers of ``count`` new vertices."""
        self.size += count
        return np.arange(self.size - count, self.size, dtype=np.int64)

    def link(
        self, first: NDArray[Any], second: NDArray[Any], first_keys: NDArray[Any], second_keys: NDArray[Any]
    ) -> None:
        """Tie ``first[i]`` to ``second[i]`` by an edge labelled with the pair of keys at ``i``.

        From each vertex at most one edge of a call may carry a given label; so it is when (vertex, key) pairs are
        unique on either side.
        """
        labels = self._labelled(first_keys.ravel(), second_keys.ravel())
        self._links.append((first.ravel(), second.ravel(), labels))

    def mark(self, vertices: NDArray[Any], *attributes: NDArray[Any], soft: bool = False) -> None:
        """Let ``vertices[i]`` carry the mark ``(attributes[0][i], attributes[1][i], ...)``.

        A soft mark stands for a choice (which of two axes shall stay free) rather than for a necessity.
        """
        labels = self._labelled(*(attribute.ravel() for attribute in attributes))
        (self._soft_marks if soft else self._marks).append((vertices.ravel(), labels))

    def pin(self, vertices: NDArray[Any], *, soft: bool = False) -> None:
        """Forbid that any of the vertices moves."""
        distinct = np.unique(vertices)
        self.mark(distinct, np.arange(distinct.size), soft=soft)

    def links(self) -> tuple[Indices, Indices, Indices]:
        """All links: first vertices, second vertices, labels."""
        return _joined(self._links, 3)  # type: ignore[return-value]

    def marks(self, *, soft: bool = True) -> tuple[Indices, Indices]:
        """All marks: vertices, labels; ``soft=False`` leaves the choices out."""
        return _joined(self._marks + (self._soft_marks if soft else []), 2)  # type: ignore[return-value]

    def origin_of(self, label: int) -> str:
        """On whose behalf a label was made."""
        return self._origins[bisect_right(self._origins, label, key=itemgetter(0)) - 1][1]

    def _labelled(self, *attributes: NDArray[Any]) -> Indices:
        """One label per distinct row of attributes, never used before."""
        label = np.zeros(attributes[0].shape, np.int64)
        for attribute in attributes:
            if attribute.size and attribute.any():
                _, compact = np.unique(attribute, return_inverse=True)
                label = label * (int(compact.max()) + 1) + compact
                if len(attributes) > 2:
                    _, label = np.unique(label, return_inverse=True)
        if not self._origins or self._origins[-1][1] != self.origin:
            self._origins.append((self._labels, self.origin))
        label = label + self._labels
        self._labels = int(label.max()) + 1 if label.size else self._labels
        return label.astype(np.int64)


def _joined(parts: list[Any], width: int) -> tuple[Indices, ...]:
    if not parts:
        return tuple(np.empty(0, np.int64) for _ in range(width))
    return tuple(np.concatenate([part[i] for part in parts]).astype(np.int64, copy=False) for i in range(width))
