"""From where the channels of a network are seen: the innermost module around all the code that gets to touch them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from permsolve.networks.symmetry.structure import Indices, Structure
from permsolve.networks.trace.places import Places

_NOWHERE = -1


class Scopes:
    """The place of each vertex.

    Parameters
    ----------
    places : Places
        The modules of the model.
    names : mapping of str to sequence of str
        Qualified name of a tensor -> all its names.
    """

    def __init__(self, places: Places, names: Mapping[str, Sequence[str]]) -> None:
        self._places = places
        self._names = names
        self._numbers: dict[str, int] = {}
        self._known: list[str] = []
        self._scope = np.empty(0, np.int64)

    def owners(self, tensor: str) -> list[str]:
        """The modules that have a tensor."""
        return [name.rpartition(".")[0] for name in self._names.get(tensor, (tensor,))]

    def see(self, vertices: Sequence[Indices], modules: Iterable[str]) -> None:
        """The code of all the named modules gets to see some vertices."""
        if not vertices:
            return
        first, *others = {self._places.of(module) for module in modules}
        place = first
        for other in others:
            place = self._places.common(place, other)
        seen = np.concatenate([one.ravel() for one in vertices])
        if seen.size and int(seen.max()) >= self._scope.size:
            missing = int(seen.max()) + 1 - self._scope.size
            self._scope = np.concatenate([self._scope, np.full(missing, _NOWHERE, np.int64)])
        before, which = np.unique(self._scope[seen], return_inverse=True)
        after = [self._number(place) if one == _NOWHERE else self._joined(int(one), place) for one in before]
        self._scope[seen] = np.array(after, np.int64)[which]

    def of_components(self, structure: Structure) -> tuple[Indices, list[str | None]]:
        """Component of each vertex, and the place of each component, None where nothing touches it."""
        first, second, _ = structure.links()
        ones, shape = np.ones(first.size, np.int8), (structure.size, structure.size)
        count, component = connected_components(coo_array((ones, (first, second)), shape=shape), directed=False)
        places: list[str | None] = [None] * int(count)
        touched = np.flatnonzero(self._scope != _NOWHERE)
        pairs = np.unique(np.stack([component[touched], self._scope[touched]], axis=1), axis=0)
        for which, number in pairs.tolist():
            known = places[which]
            place = self._known[number]
            places[which] = place if known is None else self._places.common(known, place)
        return component.astype(np.int64), places

    def _number(self, place: str) -> int:
        number = self._numbers.setdefault(place, len(self._known))
        if number == len(self._known):
            self._known.append(place)
        return number

    def _joined(self, number: int, place: str) -> int:
        return self._number(self._places.common(self._known[number], place))
