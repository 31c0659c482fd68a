"""Maximum-weight perfect matching in a general graph, through rustworkx."""

import numpy as np
import rustworkx
from numpy.typing import NDArray

Nodes = NDArray[np.int64]

# The largest weight becomes an integer of this many bits. A float64 has 53, so every weight down to 2^-47 of the
# largest becomes itself and the others lose less than 2^-100 of the largest; rustworkx computes with 128 bits.
BITS = 100


def perfect_matching(size: int, first: Nodes, second: Nodes, weights: NDArray[np.float64]) -> Nodes:
    """Partner of each node in a perfect matching of largest total weight (Edmonds 1965, Galil 1986).

    Weights are rounded to integers of ``BITS`` bits, so the total falls short of the best by less than
    ``size * 2**-BITS`` of the largest weight: nothing next to the rounding of a float64 sum.

    Parameters
    ----------
    size : int
        Number of nodes, even.
    first, second : ndarray of int64, shape (edges,)
        The edges, each once, with a perfect matching among them.
    weights : ndarray of float64, shape (edges,)
        Their weights, finite.

    References
    ----------
    J. Edmonds, "Maximum matching and a polyhedron with 0,1-vertices", J. Res. NBS 69B (1965).
    Z. Galil, "Efficient algorithms for finding maximum matching in graphs", ACM Computing Surveys 18 (1986).
    """
    exponent = int(np.frexp(np.abs(weights).max())[1])
    integers = [int(number) for number in np.rint(np.ldexp(weights, BITS - exponent)).tolist()]
    graph: rustworkx.PyGraph[int | None, int] = rustworkx.PyGraph(multigraph=False)
    graph.add_nodes_from(range(size))
    graph.extend_from_weighted_edge_list(list(zip(first.tolist(), second.tolist(), integers, strict=True)))
    partner = np.full(size, -1, np.int64)
    for a, b in rustworkx.max_weight_matching(graph, max_cardinality=True, weight_fn=int):
        partner[a] = b
        partner[b] = a
    assert (partner >= 0).all()  # a perfect matching is among the edges
    return partner


def edges_of(near: Nodes, partner: Nodes) -> tuple[Nodes, Nodes]:
    """Each edge once, as (smaller node, larger node): those to the nodes listed in ``near`` and to the partners.

    Parameters
    ----------
    near : ndarray of int64, shape (size, count)
        Neighbours of each node; -1 for none.
    partner : ndarray of int64, shape (size,)
        A perfect matching.
    """
    size = partner.shape[0]
    other = np.column_stack([near, partner])
    node = np.broadcast_to(np.arange(size)[:, None], other.shape)
    listed = other >= 0
    node, other = node[listed], other[listed]
    keys = np.unique(np.minimum(node, other) * size + np.maximum(node, other))
    return keys // size, keys % size
