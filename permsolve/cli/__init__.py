"""The command line, ``permsolve`` or ``python -m permsolve``."""

from permsolve.cli.entry import main

__all__ = ["main"]
