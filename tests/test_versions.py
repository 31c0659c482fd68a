"""Versions for results."""

import numpy as np

from permsolve.versions import versions


def test_versions() -> None:
    """Of what is installed, and that something is not."""
    assert versions("numpy", "no-such-distribution") == {
        "numpy": np.__version__,
        "no-such-distribution": "not installed",
    }
