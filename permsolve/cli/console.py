"""Where tables are printed."""

import sys
from typing import Any

# Room for the longest names, where lines are read by programs.
_UNLIMITED = 100_000
# Every table has room for its names in this; a narrower terminal breaks lines by itself.
_NARROWEST = 80


def console(*, to_stderr: bool = False) -> Any:
    """A rich console that takes text as it is, never as markup, and where no name is cut off or folded for a pipe.

    Parameters
    ----------
    to_stderr : bool, default False
        Whether it prints to stderr.
    """
    from rich.console import Console

    made = Console(stderr=to_stderr, highlight=False, markup=False, emoji=False)
    terminal = (sys.stderr if to_stderr else sys.stdout).isatty()
    made.width = max(made.width, _NARROWEST) if terminal else _UNLIMITED
    return made
