"""The benchmark's command line, one module per command."""

from bench.cli.application import app

__all__ = ["app"]
