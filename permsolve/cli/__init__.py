"""The command line, ``permsolve`` or ``python -m permsolve``."""

from permsolve.cli.main import main

__all__ = ["main"]
