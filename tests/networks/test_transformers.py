"""Tiny models of the architectures of `transformers`: none is corrupted, and most are permuted all through."""

import logging
from copy import deepcopy
from zlib import crc32

import pytest
import torch
from torch import nn

pytest.importorskip("transformers")

from permsolve import networks
from permsolve.networks.prunable import prunable_weights
from tests.networks.architectures import ARCHITECTURES, Architecture
from tests.networks.running import BRIEF, outputs, randomised, relative_error

# Many of these cast to float32 inside (normalisation, softmax), so that float64 does not carry through.
TOLERANCE = 1e-5
WRONG = 1e-3


def _lively(model: nn.Module) -> nn.Module:
    """Large random weights everywhere, so that a wrong permutation cannot hide behind initial values near zero."""
    randomised(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0.0, 1.5 * (parameter.numel() / parameter.shape[0]) ** -0.5)
    return model.eval()


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("transformers").setLevel(logging.CRITICAL)


def test_there_are_enough_architectures() -> None:
    """At least 25, of which at least 15 must be covered to 0.9."""
    assert len({architecture.name for architecture in ARCHITECTURES}) == len(ARCHITECTURES) >= 25
    assert sum(architecture.coverage >= 0.9 for architecture in ARCHITECTURES) >= 15


@pytest.mark.parametrize(
    "architecture",
    [pytest.param(one, id=one.name, marks=() if one.fast else pytest.mark.slow) for one in ARCHITECTURES],
)
def test_architecture(architecture: Architecture) -> None:
    """The logits are as before, without verification; coverage; a copy follows and comes back bit for bit."""
    torch.manual_seed(crc32(architecture.name.encode()))
    model, inputs = _lively(architecture.build()), architecture.inputs()
    original = deepcopy(model)
    before = outputs(model, inputs)
    report = networks.permute_(model, inputs, verify=False, solver="local-search", **BRIEF)
    after = outputs(model, inputs)
    assert relative_error(after, before) <= TOLERANCE
    assert report.coverage >= architecture.coverage, report.skipped

    copy = deepcopy(original)
    networks.apply_(copy, report)
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in copy.state_dict().items())
    networks.invert_(copy, report)
    state = original.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in copy.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [one for one in ARCHITECTURES if one.fast], ids=lambda one: one.name)
def test_a_wrong_permutation_would_show(architecture: Architecture) -> None:
    """The tolerance separates: whichever weight has its columns out of place, the outputs move far more."""
    torch.manual_seed(crc32(architecture.name.encode()))
    model, inputs = _lively(architecture.build()), architecture.inputs()
    before = outputs(model, inputs)
    for weight in prunable_weights(model):
        wrong = deepcopy(model)
        (tensor,) = (one.tensor for one in prunable_weights(wrong) if one.name == weight.name)
        with torch.no_grad():
            tensor.copy_(tensor.roll(1, 1))
        assert relative_error(outputs(wrong, inputs), before) > WRONG, weight.name
