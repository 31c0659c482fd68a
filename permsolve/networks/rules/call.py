"""One operator of a traced graph, as a rule sees it, and the table of rules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from permsolve.networks.symmetry.structure import Structure
from permsolve.networks.symmetry.value import Value

Outcome = Value | Sequence[Value | None] | None


@dataclass(frozen=True, slots=True)
class Call:
    """An operator with its arguments.

    Attributes
    ----------
    structure : Structure
        Receives what the operator demands.
    name : str
        Such as ``"aten.linear"``, without the overload.
    arguments : mapping of str to object
        By the names of the operator's schema, defaults filled in; tensors are :class:`Value` (None when absent).
    shapes : tuple
        Shape of each tensor that it returns (None for what is no tensor).
    used : frozenset of int
        Which of several results somebody reads.
    training : bool
        Whether the graph is that of the training mode.
    """

    structure: Structure
    name: str
    arguments: Mapping[str, Any]
    shapes: tuple[tuple[int, ...] | None, ...]
    used: frozenset[int]
    training: bool = False

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first result."""
        shape = self.shapes[0]
        assert shape is not None
        return shape

    def values(self) -> Iterator[Value]:
        """All tensors among the arguments, those inside lists too."""
        for argument in self.arguments.values():
            if isinstance(argument, Value):
                yield argument
            elif isinstance(argument, list | tuple):
                yield from (item for item in argument if isinstance(item, Value))

    def first(self) -> Value:
        """The first tensor among the arguments."""
        return next(self.values())


Rule = Callable[[Call], Outcome]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operators (``"linear"`` stands for ``aten.linear``).

    A rule returns how the results move, after it has told the structure what the operator demands. It returns None
    when it does not cover this use; then everything that the operator touches is pinned.
    """

    def register(function: Rule) -> Rule:
        for name in names:
            if RULES.setdefault(f"aten.{name}", function) is not function:
                raise ValueError(f"there are two rules for {name}")
        return function

    return register


def wrapped(dim: int, rank: int) -> int:
    """A dimension counted from the front."""
    return dim % rank if rank else 0


def wrapped_all(dims: int | Sequence[int] | None, rank: int) -> list[int]:
    """Dimensions counted from the front; all of them for None or an empty list."""
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return list(range(rank))
    return [wrapped(dim, rank) for dim in ([dims] if isinstance(dims, int) else dims)]
