"""Random graphs of random operators: whatever is permuted, the function stays."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from permsolve import networks
from tests.networks.graphs import STEPS, Graph, Step
from tests.networks.running import BRIEF, outputs, randomised, relative_error

graphs = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 19), st.integers(0, 19), st.integers(0, 2)),
    min_size=1,
    max_size=19,
)


def _check(steps: list[Step], seed: int) -> None:
    torch.manual_seed(seed)
    model = randomised(Graph(steps)).eval()
    inputs = (torch.randn(2, 5, 12, dtype=torch.float64),)
    before = outputs(model, inputs)
    original = deepcopy(model)
    gather = "allowed" if seed % 2 else "never"
    report = networks.permute_(model, inputs, "1:2", **BRIEF, solver="random", seed=seed, verify=False, gather=gather)
    assert relative_error(outputs(model, inputs), before) <= 1e-8, report.table()
    networks.invert_(model, report)
    for one, other in zip(model.parameters(), original.parameters(), strict=True):
        assert torch.equal(one, other)


relaxed = partial(settings, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@given(steps=graphs, seed=st.integers(0, 1000))
@relaxed(max_examples=4, derandomize=True)
def test_random_graphs(steps: list[Step], seed: int) -> None:
    """A few on every run."""
    _check(steps, seed)


@pytest.mark.slow
@pytest.mark.parametrize("piece", range(8))
def test_many_random_graphs(piece: int) -> None:
    """Two thousand, when asked for."""

    @seed(piece)
    @given(steps=graphs, seed=st.integers(0, 100000))
    @relaxed(max_examples=250, derandomize=False)
    def check(steps: list[Step], seed: int) -> None:
        _check(steps, seed)

    check()
