"""Why positions of an axis may not be exchanged."""

from collections.abc import Mapping

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from permsolve.networks.symmetry.structure import Indices, Structure

TIED = "its columns are tied to one another"


def reasons(structure: Structure, axes: Mapping[str, Indices]) -> dict[str, str]:
    """What keeps the positions of each axis apart.

    Parameters
    ----------
    structure : Structure
        What the network's operators demand.
    axes : mapping of str to ndarray of int64
        Name -> vertices that turned out not to be exchangeable.

    Returns
    -------
    dict of str to str
        Name -> the origin of the first mark that tells two of the positions apart, or :data:`TIED`.
    """
    first, second, _ = structure.links()
    size = structure.size
    ones = np.ones(first.size, np.int8)
    _, component = connected_components(coo_array((ones, (first, second)), shape=(size, size)), directed=False)
    marked, marks = structure.marks()
    owner = component[marked]
    order = np.lexsort((marks, owner))  # labels ascend from call to call
    owner, marks = owner[order], marks[order]
    found = {}
    for name, vertices in axes.items():
        owners = component[vertices]
        others = np.flatnonzero(owners != owners[0])
        if not others.size:
            found[name] = TIED
            continue
        one, other = (
            marks[slice(*np.searchsorted(owner, [which, which + 1]))] for which in owners[[0, int(others[0])]]
        )
        length = min(one.size, other.size)
        differing = np.flatnonzero(one[:length] != other[:length])
        if differing.size:
            found[name] = structure.origin_of(int(min(one[differing[0]], other[differing[0]])))
        elif one.size != other.size:
            found[name] = structure.origin_of(int(max(one, other, key=len)[length]))
        else:
            found[name] = "its columns are not tied alike"
    return found
