"""From a symmetry structure to the sets of components that may be exchanged freely.

The links cut the vertices into connected components. Two components are interchangeable when an isomorphism between
them respects labels and marks. Links are deterministic (a vertex has at most one per label and direction), so an
isomorphism is fixed by the image of one vertex. Candidates are found by colour refinement (Weisfeiler & Leman) with
64-bit hashes, and every isomorphism is then checked edge by edge, so that no collision can do harm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from permsolve.networks.symmetry.structure import Indices, Structure

Hashes = NDArray[np.uint64]


def resolve(structure: Structure, *, soft: bool = True) -> list[Indices]:
    """Classes of interchangeable components.

    Parameters
    ----------
    structure : Structure
        What the network's operators demand.
    soft : bool, default True
        Whether to respect marks that stand for choices.

    Returns
    -------
    list of ndarray of int64, shape (components, vertices)
        One matrix per class of two components or more: row ``j`` holds the vertices of component ``j``, and
        ``row[i][t] -> row[j][t]`` is an isomorphism for any ``i, j``. Every permutation of the rows is an automorphism.
    """
    if structure.size == 0:
        return []
    graph = _Graph.of(structure, soft)
    colours = _refined(graph)
    order = np.lexsort((colours, graph.component))
    starts = np.concatenate([[0], np.cumsum(np.bincount(graph.component))])
    signature = np.add.reduceat(_mix(colours[order]), starts[:-1])
    _, member_of, counts = np.unique(signature, return_inverse=True, return_counts=True)
    by_class = np.argsort(member_of, kind="stable")
    candidates = []
    for end, count in zip(np.cumsum(counts), counts, strict=True):
        if count > 1:
            rows = _aligned(graph, colours, order, starts, by_class[end - count : end])
            if rows is not None:
                candidates.append(rows)
    return _checked(graph, candidates)


@dataclass(frozen=True, slots=True)
class _Graph:
    first: Indices
    second: Indices
    labels: Indices
    marked: Indices
    marks: Indices
    component: Indices

    @classmethod
    def of(cls, structure: Structure, soft: bool) -> "_Graph":
        first, second, labels = structure.links()
        marked, marks = structure.marks(soft=soft)
        shape = (structure.size, structure.size)
        _, component = connected_components(
            coo_array((np.ones(first.size, np.int8), (first, second)), shape=shape), directed=False
        )
        return cls(first, second, labels, marked, marks, component.astype(np.int64))


def _mix(values: NDArray[np.integer]) -> Hashes:
    """The finaliser of splitmix64: a bijection that scatters its input."""
    x = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _scatter_sum(targets: Indices, values: Hashes, size: int) -> Hashes:
    """Sum of ``values`` per target, modulo 2**64."""
    total = np.zeros(size, np.uint64)
    if targets.size:
        order = np.argsort(targets, kind="stable")
        starts = np.flatnonzero(np.concatenate([[True], np.diff(targets[order]) != 0]))
        total[targets[order][starts]] = np.add.reduceat(values[order], starts)
    return total


def _refined(graph: _Graph) -> Hashes:
    """Stable colours of the vertices: equal ones see equal labels, marks and colours around them."""
    size = graph.component.size
    targets = np.concatenate([graph.second, graph.first])
    sources = np.concatenate([graph.first, graph.second])
    labels = _mix(np.concatenate([2 * graph.labels, 2 * graph.labels + 1]))
    colours = _mix(_scatter_sum(graph.marked, _mix(graph.marks), size))
    distinct = np.unique(colours).size
    while True:
        around = _scatter_sum(targets, _mix(_mix(colours)[sources] + labels), size)
        colours = _mix(_mix(colours) + around)
        now = np.unique(colours).size
        if now == distinct:
            return colours
        distinct = now


def _aligned(graph: _Graph, colours: Hashes, order: Indices, starts: Indices, members: Indices) -> Indices | None:
    """Rows of vertices, one per component, in an order that an isomorphism would keep."""
    size = int(starts[members[0] + 1] - starts[members[0]])
    if (starts[members + 1] - starts[members] != size).any():
        return None
    rows = order[starts[members][:, None] + np.arange(size)]
    shades = colours[rows]
    if (shades != shades[0]).any():
        return None
    if np.unique(shades[0]).size == size:
        aligned: Indices = rows
        return aligned
    # Some vertices of a component look alike: walk each from one vertex of its rarest colour.
    tones, tone_counts = np.unique(shades[0], return_counts=True)
    root = int(np.flatnonzero(shades[0] == tones[np.argmin(tone_counts)])[0])
    neighbours = _neighbours(graph, rows)
    return np.array([_walk(neighbours, int(row[root]), size) for row in rows], np.int64)


def _neighbours(graph: _Graph, rows: Indices) -> dict[int, list[tuple[int, int]]]:
    """(label with direction, neighbour) of every vertex of the rows, sorted."""
    wanted = np.isin(graph.component[graph.first], graph.component[rows[:, 0]])
    found: dict[int, list[tuple[int, int]]] = {int(vertex): [] for vertex in rows.ravel()}
    for a, b, label in zip(graph.first[wanted], graph.second[wanted], graph.labels[wanted], strict=True):
        found[int(a)].append((2 * int(label), int(b)))
        found[int(b)].append((2 * int(label) + 1, int(a)))
    return {vertex: sorted(links) for vertex, links in found.items()}


def _walk(neighbours: dict[int, list[tuple[int, int]]], root: int, size: int) -> list[int]:
    """Breadth-first order of a component, links by label."""
    seen = {root: None}  # keeps the order of insertion
    queue = [root]
    for vertex in queue:
        for _, other in neighbours[vertex]:
            if other not in seen:
                seen[other] = None
                queue.append(other)
    assert len(queue) == size
    return queue


def _checked(graph: _Graph, candidates: list[Indices]) -> list[Indices]:
    """Keep of every candidate the rows whose links and marks agree, one by one, with those of the first row."""
    local = np.full(graph.component.size, -1, np.int64)
    for rows in candidates:
        local[rows] = np.arange(rows.shape[1])
    links = _Facts.of(graph.component[graph.first], (graph.labels, local[graph.first], local[graph.second]))
    marks = _Facts.of(graph.component[graph.marked], (graph.marks, local[graph.marked]))
    kept = []
    for rows in candidates:
        members = graph.component[rows[:, 0]]
        good = links.agree(members) & marks.agree(members)
        if good.sum() > 1:
            kept.append(rows[good])
    return kept


@dataclass(frozen=True, slots=True)
class _Facts:
    """Rows of integers about components, sorted by component."""

    owners: Indices
    columns: tuple[Indices, ...]

    @classmethod
    def of(cls, owners: Indices, columns: tuple[Indices, ...]) -> "_Facts":
        order = np.lexsort((*columns[::-1], owners))
        return cls(owners[order], tuple(column[order] for column in columns))

    def agree(self, members: Indices) -> NDArray[np.bool_]:
        """Which of the components have exactly the facts of the first."""
        begin = np.searchsorted(self.owners, members, "left")
        count = np.searchsorted(self.owners, members, "right") - begin
        good: NDArray[np.bool_] = count == count[0]
        if count[0]:
            places = begin[good][:, None] + np.arange(count[0])
            same = np.ones(places.shape[0], np.bool_)
            for column in self.columns:
                same &= (column[places] == column[places[0]]).all(axis=1)
            good[good] = same
        return good
