"""``auto``: what it chooses."""

import numpy as np

from permsolve import Problem, solve
from permsolve.status import StopReason


def test_no_proof_where_the_groups_cannot_be_priced() -> None:
    """Few rows make a pass short, but there are too many groups to list, and no other way to price 2:8."""
    problem = Problem(np.random.default_rng(0).random((16, 40)), "2:8")
    result = solve(problem, "auto", time_limit=1.2, workers=2)
    assert result.stop_reason is StopReason.TIME
    assert result.value > problem.baseline
