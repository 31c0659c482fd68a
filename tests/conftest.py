"""What holds for all tests: Ctrl-C is heard, and kernels are compiled by one of the processes that share the tests."""

import signal
from collections.abc import Iterator

import numpy as np
import pytest

from tests.clock import speed_up

speed_up()

from permsolve import Problem, solve  # noqa: E402
from permsolve.stopping import MaxIterations  # noqa: E402

# Solvers that have few kernels in common, by number of the process; together they have nearly all.
COMPILES = (
    ("annealing", "column-generation"),
    ("matching", "channel-swap", "stripe-groups", "exhaustive", "local-search"),
)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the share of this process, or read it from the cache; nothing where there is one process only."""
    worker: dict[str, str] | None = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    problem = Problem(np.random.default_rng(0).random((16, 24)), "2:4")
    for name in COMPILES[int(worker["workerid"].removeprefix("gw")) % len(COMPILES)]:
        solve(problem, name, stop=MaxIterations(1), workers=1)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests run in the background of a shell, which lets them ignore it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)
