"""What can be wrong with the name of an instance."""

import difflib
from collections.abc import Iterable

from permsolve.errors import PermsolveError

# Of the names that there are, what an error says.
_MOST_NAMES = 16


class UnknownInstanceError(PermsolveError, LookupError):
    """No instance, set, family or layer has the name given, or the name asks for what cannot be made."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownInstanceError:
    """The error for a name that is not among the known ones, naming the closest of them."""
    names = list(known)
    first = f"{', '.join(names[:_MOST_NAMES])} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    close = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {first or ', '.join(names)}"
    return UnknownInstanceError(f"no {kind} {name!r}: {hint}")
