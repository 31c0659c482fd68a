"""What importing the package costs and offers."""

import doctest
import importlib
import os
import subprocess
import sys

import pytest

import permsolve

HEAVY = ("numpy", "numba", "scipy", "torch", "ortools", "rich", "typer", "permsolve_solvers")


def loaded_after(code: str) -> set[str]:
    """Which of the heavy packages a new interpreter has loaded after running ``code``."""
    code += f"\nimport sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    paths = os.pathsep.join(path for path in sys.path if path)
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": paths}
    )
    return set(ran.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Everything is loaded on first use."""
    assert loaded_after("import permsolve; permsolve.__version__; dir(permsolve)") == set()


def test_listing_the_solvers_loads_none_of_them() -> None:
    """Nor torch or ortools, whether they are installed or not."""
    loaded = loaded_after("import permsolve; permsolve.available_solvers()")
    assert not loaded & {"permsolve_solvers", "torch", "ortools", "rich", "typer"}


def test_solving_needs_neither_torch_nor_the_command_line() -> None:
    """A numpy weight is solved by the core install alone."""
    code = "import numpy, permsolve; permsolve.solve(permsolve.Problem(numpy.eye(4)), 'identity')"
    assert not loaded_after(code) & {"torch", "ortools", "rich", "typer"}


def test_all_public_names_are_there() -> None:
    """And listed; another name is an AttributeError as for any module."""
    for name in permsolve.__all__:
        assert getattr(permsolve, name) is not None
    assert dir(permsolve) == sorted(permsolve.__all__)
    with pytest.raises(AttributeError, match="no attribute 'sovle'"):
        _ = permsolve.sovle


@pytest.mark.parametrize(
    "name", ["permsolve", "permsolve.api", "permsolve.bound", "permsolve.pattern", "permsolve.problem"]
)
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    """They run and print what they say."""
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0
