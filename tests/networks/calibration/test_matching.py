"""A calibration of another model, layer, width or order is refused by name, before anything is changed."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from permsolve import networks
from permsolve.errors import InvalidOptionError


def mlp(width: int = 64, seed: int = 0) -> nn.Sequential:
    """Three layers."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 8)
    ).eval()  # fmt: skip


X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
# What takes a calibration.
TAKERS: dict[str, Callable[[nn.Module, networks.Calibration], object]] = {
    "prune_": lambda model, calibration: networks.prune_(model, calibration=calibration),
    "prune_, a saliency": lambda model, calibration: networks.prune_(model, saliency="wanda", calibration=calibration),
    "prune_, an update": lambda model, calibration: networks.prune_(model, update="exchange", calibration=calibration),
    "permute_": lambda model, calibration: networks.permute_(model, (X,), saliency="obs", calibration=calibration),
    "permute_, by magnitude": lambda model, calibration: networks.permute_(model, (X,), calibration=calibration),
    "compress_": lambda model, calibration: networks.compress_(model, (X,), calibration=calibration),
}


def refused(model: nn.Module, calibration: networks.Calibration, taker: str, said: str) -> None:
    """Refused in one sentence, and the model is as it was."""
    state = deepcopy(model.state_dict())
    with pytest.raises(InvalidOptionError, match=said) as error:
        TAKERS[taker](model, calibration)
    assert "\n" not in str(error.value)
    now = model.state_dict()
    assert list(now) == list(state)
    assert all(torch.equal(tensor, now[name]) for name, tensor in state.items())


@pytest.mark.parametrize("taker", TAKERS)
def test_another_width(taker: str) -> None:
    """The layer is named, with both widths, although weights before it fit."""
    foreign = networks.calibrate(mlp(32), [X])
    foreign.columns.clear()  # as of a file of before there were any
    refused(mlp(), foreign, taker, r"another model: 2\.weight reads 64 inputs, .* of 32 inputs")


@pytest.mark.parametrize("taker", TAKERS)
def test_another_model_of_the_same_widths(taker: str) -> None:
    """Its weights are others."""
    refused(mlp(), networks.calibrate(mlp(seed=1), [X]), taker, r"another model: 0\.weight has other values")


@pytest.mark.parametrize("taker", TAKERS)
def test_another_layer(taker: str) -> None:
    """A layer that was left out is named; where nothing looks at the moments, some of them are enough."""
    model = nn.Sequential(mlp(), nn.Linear(8, 16), nn.Linear(16, 4))
    known = networks.calibrate(model, [X], include="2")
    chosen = nn.Sequential(model[0], model[1])
    refused(chosen, known, taker, r"0\.0\.weight .* left out.*exclude=")


@pytest.mark.parametrize("saved", [False, True])
def test_the_order_of_before(saved: bool, tmp_path: Path) -> None:
    """After a permutation the calibration of before is refused, with the remedy, and the permuted one is taken."""
    model = mlp()
    calibration = networks.calibrate(model, [X])
    if saved:
        calibration.save(tmp_path / "c.safetensors")
        calibration = networks.Calibration.load(tmp_path / "c.safetensors")
    report = networks.permute_(model, (X,), solver="ria", time_limit=None)
    refused(model, calibration, "prune_, an update", r"columns of 2\.weight are in another order.*permuted\(report\)")
    networks.prune_(model, saliency="obs", update="obs", calibration=calibration.permuted(report))


def test_groups_of_a_convolution() -> None:
    """As many features, but other groups."""
    x = torch.randn(2, 8, 6, 6)
    other = networks.calibrate(nn.Sequential(nn.Conv2d(8, 8, 1)), [x])
    whole = nn.Sequential(nn.Conv2d(16, 8, 1, groups=2))
    refused(whole, other, "prune_, a saliency", r"0\.weight reads 2 groups of 8 inputs, .* of 8 inputs")


def test_the_same_model_cast_trained_on_or_masked() -> None:
    """All of these are taken."""
    model = mlp()
    calibration = networks.calibrate(model, [X])
    tuned = deepcopy(model)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.2 * parameter.std() * torch.randn_like(parameter))
    masked = deepcopy(model)
    networks.prune_(masked, "3:4")
    scaled = deepcopy(model)
    nn.init.constant_(scaled.get_parameter("2.weight"), 0.5)  # columns that nothing tells apart
    for one in (deepcopy(model).bfloat16(), tuned, masked, scaled):
        networks.prune_(one, saliency="obs", update="obs", calibration=calibration)


def test_all_second_moments_are_needed() -> None:
    """And that is said before anything is done."""
    refused(
        mlp(), networks.calibrate(mlp(), [X], moments="diagonal"), "prune_, an update", r"0\.weight.*moments='full'"
    )
