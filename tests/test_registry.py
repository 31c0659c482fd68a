"""Solvers by name: the built-in ones and those that other packages bring."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from permsolve import registry
from permsolve.api import solve
from permsolve.errors import InvalidOptionError, SolverUnavailableError, UnknownSolverError
from permsolve.problem import Problem

PROBLEM = Problem(np.random.default_rng(0).random((6, 8)), "2:4")
BUILT_IN = {"auto", "exhaustive", "greedy", "identity", "local-search", "random"}

SOLVER = '''
from permsolve.solver import Capabilities, Outcome

class Backwards:
    """Offer the reversed order."""

    capabilities = Capabilities("turns the order round")

    def __init__(self, times=1):
        self.times = times

    def solve(self, problem, run):
        for _ in range(self.times):
            run.offer(list(range(problem.columns))[::-1])
        return Outcome()
'''

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put distributions with entry points on the path for the length of a test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(distribution: str, module: str, source: str, **names: str) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        points = "".join(f"{name} = {value}\n" for name, value in names.items())
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{points}")
        registry.refresh()

    yield make
    monkeypatch.undo()
    registry.refresh()
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


def test_the_built_in_solvers_are_there() -> None:
    """By the names of the README, and all of them load and describe themselves."""
    names = registry.available_solvers()
    assert set(names) >= BUILT_IN
    assert list(names) == sorted(names)
    for name in BUILT_IN:
        assert registry.solver_class(name).capabilities.summary


@pytest.mark.parametrize("name", ["locl-search", "", None, 3])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    """So that a slip of the pen needs no manual."""
    with pytest.raises(UnknownSolverError, match=", ".join(registry.available_solvers())):
        solve(PROBLEM, name)


def test_an_unknown_option_lists_the_known_ones() -> None:
    """Before anything is solved."""
    with pytest.raises(InvalidOptionError, match=r"no option 'chians': it takes .*chains"):
        solve(PROBLEM, "local-search", chians=128)
    with pytest.raises(InvalidOptionError, match="it takes none"):
        solve(PROBLEM, "identity", speed=3)
    with pytest.raises(InvalidOptionError, match="no option 'name'"):
        solve(PROBLEM, "local-search", name=3)


def test_a_third_party_solver_is_found_and_run(install: Install) -> None:
    """Through its entry point only; options reach it, and it works like a built-in one."""
    install("fake-backwards", "fake_backwards", SOLVER, backwards="fake_backwards:Backwards")
    assert set(registry.available_solvers()) >= BUILT_IN | {"backwards"}
    result = solve(PROBLEM, "backwards", times=2)
    assert (result.solver, result.options) == ("backwards", {"times": 2})
    assert result.value == max(PROBLEM.value(range(8)), PROBLEM.value(range(8)[::-1]))


def test_listing_imports_nothing(install: Install) -> None:
    """A broken third-party package does not break the others."""
    install("fake-broken", "fake_broken", "raise RuntimeError('imported')", broken="fake_broken:Solver")
    assert "broken" in registry.available_solvers()
    assert solve(PROBLEM, "identity").value == PROBLEM.baseline


def test_a_missing_package_is_named(install: Install) -> None:
    """The message says which package the solver needs."""
    install("fake-needy", "fake_needy", "import fake_engine_that_is_missing", needy="fake_needy:Solver")
    with pytest.raises(SolverUnavailableError, match=r"'needy' cannot be loaded .*fake_engine_that_is_missing"):
        solve(PROBLEM, "needy")


def test_two_solvers_of_one_name_are_an_error(install: Install) -> None:
    """Which of them runs must not depend on the order of folders; both are named."""
    install("fake-backwards", "fake_backwards", SOLVER, greedy="fake_backwards:Backwards")
    with pytest.raises(InvalidOptionError, match=r"as 'greedy': .*Greedy and fake_backwards:Backwards"):
        registry.available_solvers()


def test_the_same_solver_registered_twice_is_one(install: Install) -> None:
    """A built-in that is also an entry point of an installed distribution."""
    install("fake-twice", "fake_twice", "", greedy="permsolve_solvers.greedy:Greedy")
    assert set(registry.available_solvers()) >= BUILT_IN


def test_register_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver of the user's own is known by name in this process; a name is not taken twice."""
    monkeypatch.setattr(registry, "_ADDED", {})
    registry.register_solver("as-it-is", "permsolve_solvers.identity:Identity")
    registry.register_solver("as-it-is", "permsolve_solvers.identity:Identity")
    assert "as-it-is" in registry.available_solvers()
    assert registry.solver_class("as-it-is") is registry.solver_class("identity")
    with pytest.raises(InvalidOptionError, match="registered already"):
        registry.register_solver("auto", "permsolve_solvers.identity:Identity")
    for target in ("nowhere", "module:", ":Class"):
        with pytest.raises(InvalidOptionError, match="module:Class"):
            registry.register_solver("mine", target)
    registry.refresh()
    monkeypatch.undo()
    registry.refresh()
    assert "as-it-is" not in registry.available_solvers()
