"""The command line, ``permsolve`` or ``python -m permsolve``."""

import sys

try:
    from permsolve.cli.entry import main
except KeyboardInterrupt:  # nothing listens for it before that is loaded
    sys.stderr.write("permsolve: error: interrupted: nothing was written\n")
    raise SystemExit(130) from None

__all__ = ["main"]
