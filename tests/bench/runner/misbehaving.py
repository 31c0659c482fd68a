"""Solvers that do what solvers must not do."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

from permsolve import Capabilities, Outcome, Problem
from permsolve.run import Run

_PLAIN = Capabilities("for tests")


@dataclass(frozen=True)
class Raises:
    """Raises something that is no error of permsolve."""

    capabilities: ClassVar = _PLAIN

    def solve(self, problem: Problem, run: Run) -> Outcome:
        """Fail."""
        raise ZeroDivisionError("on purpose")


@dataclass(frozen=True)
class Sleeps:
    """Never looks at the clock."""

    capabilities: ClassVar = _PLAIN

    def solve(self, problem: Problem, run: Run) -> Outcome:
        """Sleep on problems that are not tiny (the warm-up is)."""
        if problem.rows > 16:
            time.sleep(60.0)
        return Outcome()


@dataclass(frozen=True)
class Crashes:
    """Takes its process with it."""

    capabilities: ClassVar = _PLAIN

    def solve(self, problem: Problem, run: Run) -> Outcome:
        """Die as of a bad pointer."""
        sys.stderr.write("last words")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
        return Outcome()


@dataclass(frozen=True)
class Lies:
    """Calls the given order optimal, and prints."""

    capabilities: ClassVar = _PLAIN

    def solve(self, problem: Problem, run: Run) -> Outcome:
        """Claim a bound that is too low."""
        print("this must not be taken for a row")
        return Outcome(bound=run.value)
