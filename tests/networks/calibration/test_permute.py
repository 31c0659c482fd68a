"""permute_ with a calibrated saliency."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from permsolve import networks
from permsolve.errors import InvalidOptionError
from permsolve.masks import kept_value
from permsolve.networks.prunable import prunable_weights
from permsolve.saliency import Saliency
from tests.networks.running import BRIEF, outputs, randomised, relative_error
from tests.networks.zoo import ALL

FAST: dict[str, Any] = {**BRIEF, "solver": "local-search"}
CASES = {case.name: case for case in ALL}
# Model, saliency, gather: every one of them at least once.
RUNS = [
    ("decoder_llama", "wanda", "never"),
    ("resnet", "obs", "never"),
    pytest.param("shufflenet_v2", "obs", "never", marks=pytest.mark.slow),
    ("multihead_on_input", "ria", "allowed"),
    ("grouped_after_grouped", "obs", "allowed"),
    ("grouped_after_grouped", "ria", "never"),
    ("flatten_beside_conv", "obd", "allowed"),
]


def prepared(name: str) -> tuple[nn.Module, Any]:
    """A model of the zoo with its inputs; inputs of the layers differ in size, so that saliencies differ."""
    torch.manual_seed(0)
    model = randomised(CASES[name].build()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(torch.rand(len(parameter), *[1] * (parameter.ndim - 1)) * 3)
    return model, CASES[name].inputs()


def kept(model: nn.Module, calibration: networks.Calibration, saliency: str) -> float:
    """What 2:4 keeps of all weights."""
    weights = prunable_weights(model)
    return sum(kept_value(weight.tensor, "2:4", saliency, calibration[weight.name]) for weight in weights)


@pytest.mark.parametrize(("name", "saliency", "gather"), RUNS)
def test_a_network_is_permuted_for_what_its_layers_read(name: str, saliency: str, gather: str) -> None:
    """The function stays; the values are those of a calibration before and of a new one after, and grow."""
    model, inputs = prepared(name)
    before = outputs(model, inputs)
    calibration = networks.calibrate(model, [inputs])
    start = kept(model, calibration, saliency)
    report = networks.permute_(
        model, inputs, "2:4", saliency=saliency, calibration=calibration, verify=False, gather=gather, **FAST
    )
    assert relative_error(outputs(model, inputs), before) < 1e-9
    assert report.groups
    assert report.value_before == pytest.approx(start)
    assert report.value_after > report.value_before
    assert report.value_after == pytest.approx(kept(model, networks.calibrate(model, [inputs]), saliency), rel=1e-5)
    assert report.value_after == pytest.approx(kept(model, calibration.permuted(report), saliency))


def test_the_calibration_decides() -> None:
    """Weights of one size, four inputs of which are large: they are spread, as no more than two of a group are kept."""
    torch.manual_seed(0)
    first, last = nn.Linear(8, 16), nn.Linear(16, 8)
    model = nn.Sequential(first, nn.ReLU(), last)
    with torch.no_grad():
        last.weight.copy_(torch.sign(last.weight))
        first.weight.mul_(torch.tensor([30.0] * 4 + [1.0] * 12)[:, None])
    calibration = networks.calibrate(model, [torch.randn(64, 8)])
    report = networks.permute_(model, (torch.randn(2, 8),), saliency="obd", calibration=calibration, **FAST)
    (group,) = report.groups
    assert np.bincount(np.flatnonzero(group.permutation < 4) // 4).max() <= 2
    assert report.value_after > 1.4 * report.value_before


def test_what_is_missing_is_named() -> None:
    """The calibration itself, or a layer of it; layers that do not weigh in need none."""
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)), (torch.randn(2, 8),)
    with pytest.raises(InvalidOptionError, match=r"'wanda' needs a calibration: .*networks\.calibrate"):
        networks.permute_(model, inputs, saliency="wanda", **FAST)
    part = networks.calibrate(model, [inputs], exclude="0")
    with pytest.raises(InvalidOptionError, match=r"what 0\.weight reads.*left out.*exclude="):
        networks.permute_(model, inputs, saliency="wanda", calibration=part, **FAST)
    assert networks.permute_(model, inputs, saliency="wanda", calibration=part, exclude="0", **FAST).groups
    diagonal = networks.calibrate(model, [inputs], moments="diagonal")
    with pytest.raises(InvalidOptionError, match="moments='full'"):
        networks.permute_(model, inputs, saliency="obs", calibration=diagonal, **FAST)


def test_a_saliency_of_ones_own() -> None:
    """It need not be registered."""
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)), (torch.randn(2, 8),)
    own = Saliency("mine", lambda weight, moments: weight**2 * moments.mean_square[0], needs="mean_square")
    calibration = networks.calibrate(model, [inputs])
    copy = deepcopy(model)
    mine = networks.permute_(model, inputs, saliency=own, calibration=calibration, **FAST)
    obd = networks.permute_(copy, inputs, saliency="obd", calibration=calibration, **FAST)
    assert mine.value_before == pytest.approx(obd.value_before, rel=1e-5)
