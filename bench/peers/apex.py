"""The searches of NVIDIA Apex (``apex.contrib.sparsity.permutation_search_kernels``) as solvers.

The user names the checkout, with ``python -m bench run PLAN --apex FOLDER`` or in the environment variable
PERMSOLVE_APEX; on a dask cluster the variable must be set where the workers are. Only the folder of the search is
loaded, under a name of its own, so that neither apex itself nor CUDA need to be installed. Its two entry points are
called as its documentation says::

    matrix, seconds, permutation = exhaustive_search.Exhaustive_Search(matrix, stripe_group_size, escape_attempts)
    matrix, seconds, permutation = channel_swap.Channel_Swap(matrix, escape_attempts)

They know 2:4 only, and magnitudes only; have no time limit of their own, so that the runner ends them when they
overrun; draw from numpy's global generator, which is seeded here; print, and write a cache into the current folder,
which is a temporary one while they run.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.peers import APEX_VARIABLE
from permsolve import Capabilities, Outcome, Pattern, Problem
from permsolve.errors import SolverUnavailableError, UnsupportedProblemError
from permsolve.run import Run

KERNELS = Path("apex/contrib/sparsity/permutation_search_kernels")
_PACKAGE = "_apex_permutation_search_kernels"


@dataclass(frozen=True, slots=True)
class ApexStripeGroups:
    """Best partition of every two or three groups (Pool & Yu 2021), as Apex searches it.

    Parameters
    ----------
    window : int
        Columns that are partitioned at a time: 8 or 12.
    escapes : int
        Attempts to leave a local optimum.
    """

    window: int = 8
    escapes: int = 100

    capabilities: ClassVar = Capabilities("NVIDIA Apex: Exhaustive_Search over groups of stripes", patterns="2:4")

    def solve(self, problem: Problem, run: Run) -> Outcome:
        """Run it to its end."""
        search = _module("exhaustive_search").Exhaustive_Search
        with _sandbox(problem, run.seed) as matrix:
            _, _, permutation = search(matrix, stripe_group_size=self.window, escape_attempts=self.escapes)
        run.offer(np.asarray(permutation))
        return Outcome()


@dataclass(frozen=True, slots=True)
class ApexChannelSwap:
    """Greedy swaps of two columns, best first (after TETRIS), as Apex searches it.

    Parameters
    ----------
    escapes : int
        Attempts to leave a local optimum.
    """

    escapes: int = 0

    capabilities: ClassVar = Capabilities("NVIDIA Apex: Channel_Swap", patterns="2:4")

    def solve(self, problem: Problem, run: Run) -> Outcome:
        """Run it to its end."""
        search = _module("channel_swap").Channel_Swap
        with _sandbox(problem, run.seed) as matrix:
            _, _, permutation = search(matrix, escape_attempts=self.escapes)
        run.offer(np.asarray(permutation))
        return Outcome()


@contextlib.contextmanager
def _sandbox(problem: Problem, seed: int) -> Iterator[NDArray[Any]]:
    """The matrix to search, in a folder that is thrown away, printing nothing."""
    if problem.pattern != Pattern(2, 4) or problem.padding:
        raise UnsupportedProblemError(
            f"Apex searches 2:4 with columns in multiples of 4 only: not {problem.pattern}, {problem.columns} columns"
        )
    np.random.seed(seed % 2**32)  # noqa: NPY002  (the generator that Apex draws from)
    before = Path.cwd()
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as silence,
        contextlib.redirect_stdout(silence),
    ):
        os.chdir(folder)
        try:
            yield np.ascontiguousarray(problem.saliency)
        finally:
            os.chdir(before)


def searches_of(checkout: Path) -> Path:
    """The folder of the searches in a checkout.

    Raises
    ------
    SolverUnavailableError
        When it is none.
    """
    folder = checkout / KERNELS
    if not folder.is_dir():
        raise SolverUnavailableError(f"{checkout}: no checkout of Apex, it has no {KERNELS}")
    return folder


@lru_cache(maxsize=8)
def _module(name: str) -> ModuleType:
    """A module of Apex's folder of searches."""
    named = os.environ.get(APEX_VARIABLE)
    if not named:
        raise SolverUnavailableError(f"Apex is not at hand: name its checkout with --apex or in {APEX_VARIABLE}")
    folder = searches_of(Path(named))
    if not (folder / f"{name}.py").is_file():
        raise SolverUnavailableError(f"{named}: no checkout of Apex, it has no {KERNELS / name}.py")
    if _PACKAGE not in sys.modules:
        # Loaded by path: apex/__init__.py, and that of the folder, need torch built for CUDA.
        package = ModuleType(_PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[_PACKAGE] = package
    try:
        return importlib.import_module(f"{_PACKAGE}.{name}")
    except ImportError as error:
        raise SolverUnavailableError(f"{folder}: Apex's search cannot be loaded ({error})") from error
