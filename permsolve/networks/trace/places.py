"""Where in a model some code stands: names of modules, and what they have in common."""

from torch import nn

# Their code only hands a tensor from part to part; whoever owns them may as well take single parts out of them.
_UNWRITTEN = (nn.Module.forward, nn.Sequential.forward)


class Places:
    """Modules of a model as places of code.

    A module that several names stand for is one place, called by its first name. A container without code of its own
    (``Sequential``, ``ModuleList``) is no place: what passes between its parts is seen by the code that owns it, which
    may also take a single part out of it.

    Parameters
    ----------
    model : Module
        The model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._first: dict[str, str] = {}
        self._homes: dict[str, str] = {}
        named = list(model.named_modules(remove_duplicate=False))
        known: dict[int, str] = {}
        for name, module in named:
            self._first[name] = known.setdefault(id(module), name)
        modules = dict(named)
        self._containers = {
            name
            for name, module in modules.items()
            if type(module).forward in _UNWRITTEN and "forward" not in vars(module)
        }
        for name in modules:
            if name:
                first, parent = self._first[name], self.of(name.rpartition(".")[0])
                self._homes[first] = self.common(self._homes.get(first, parent), parent)

    def of(self, name: str) -> str:
        """The place of a module's code; the whole model where the name is unknown."""
        while name:
            first = self._first.get(name)
            if first is None:
                return ""
            if first not in self._containers:
                return first
            name = first.rpartition(".")[0]
        return ""

    def first(self, name: str) -> str:
        """First name of a module."""
        return self._first.get(name, name)

    def home(self, name: str) -> str:
        """The place that all owners of a module have in common."""
        return self._homes.get(self._first.get(name, ""), "")

    def common(self, one: str, other: str) -> str:
        """The innermost place around two others."""
        shared = []
        for a, b in zip(one.split("."), other.split("."), strict=False):
            if a != b:
                break
            shared.append(a)
        return self.of(".".join(shared))

    @staticmethod
    def within(name: str, place: str) -> bool:
        """Whether a module of this name is at a place, or part of it."""
        return not place or name == place or name.startswith(f"{place}.")
