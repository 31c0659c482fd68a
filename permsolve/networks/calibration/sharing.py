"""Layers that are given the very same inputs, call by call, and so share their moments."""

from collections import defaultdict
from collections.abc import Iterable
from weakref import ref

from torch import Tensor

from permsolve.networks.calibration.geometry import Geometry


class Diverged(BaseException):
    """A layer that shared its inputs with another one was given others; whatever errors the model handles itself."""


class Notes:
    """What each weight was given in one batch: tensors that may be gone, none of which is kept alive."""

    def __init__(self) -> None:
        self.calls: dict[str, list[tuple[ref[Tensor], int, Geometry]]] = defaultdict(list)

    def add(self, name: str, x: Tensor, geometry: Geometry) -> None:
        """Note an input."""
        self.calls[name].append((ref(x), 0 if x.is_inference() else x._version, geometry))

    def agree(self, name: str, leader: str) -> bool:
        """Whether the last input of ``name`` was what ``leader`` was given in the same call."""
        number = len(self.calls[name]) - 1
        return number < len(self.calls[leader]) and _same(self.calls[name][number], self.calls[leader][number])


class Tokens:
    """Numbers for inputs, the same one for the very same tensor; for a first batch, whose inputs are told apart."""

    def __init__(self) -> None:
        self.calls: dict[str, list[tuple[int, Geometry]]] = defaultdict(list)
        self._known: list[tuple[ref[Tensor], int, Geometry]] = []

    def add(self, name: str, x: Tensor, geometry: Geometry) -> None:
        """Note an input."""
        new = (ref(x), 0 if x.is_inference() else x._version, geometry)
        for number, known in enumerate(self._known):
            if _same(new, known):
                self.calls[name].append((number, geometry))
                return
        self.calls[name].append((len(self._known), geometry))
        self._known.append(new)

    def leaders(self, names: Iterable[str], alone: Iterable[str]) -> dict[str, str]:
        """Weight -> the first one with the same inputs in all calls; those of ``alone``, or without a call, themselves.

        In the order of first calls, so that a leader comes before those that follow it.
        """
        single = set(alone)
        first: dict[tuple[tuple[int, Geometry], ...], str] = {}
        leaders = {
            name: name if name in single else first.setdefault(tuple(calls), name) for name, calls in self.calls.items()
        }
        return leaders | {name: name for name in names if name not in leaders}


def _same(one: tuple[ref[Tensor], int, Geometry], other: tuple[ref[Tensor], int, Geometry]) -> bool:
    tensor = one[0]()
    return tensor is not None and tensor is other[0]() and one[1:] == other[1:]
