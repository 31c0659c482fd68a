"""Inputs that are tiny or huge, and such that are no numbers."""

import numpy as np
import pytest
import torch
from torch import nn

from permsolve import networks
from permsolve.errors import InvalidNetworkError


@pytest.mark.parametrize("moments", ["full", "diagonal"])
@pytest.mark.parametrize("size", [1e-18, 1e-20, 1e-22, 1e-30, 0.0])
def test_one_tiny_feature(size: float, moments: str) -> None:
    """It counts as next to nothing, and whatever reads the moments gives numbers."""
    torch.manual_seed(0)
    layer, data = nn.Sequential(nn.Linear(8, 8)), torch.randn(100, 8)
    data[:, 0] = 0
    data[0, 0] = size
    calibration = networks.calibrate(layer, [data], moments=moments)
    assert calibration["0.weight"].mean_square[0, 0] < 1e-30
    saliency = "obs" if moments == "full" else "obd"
    masks = networks.prune_(
        layer, saliency=saliency, update="obs" if moments == "full" else None, calibration=calibration
    )  # fmt: skip
    networks.finalize_(layer)
    assert torch.isfinite(layer.get_parameter("0.weight")).all()
    assert not masks["0.weight"][:, 0].any() or size > 1e-20
    networks.prune_(layer, saliency="wanda", calibration=calibration)


@pytest.mark.parametrize("size", [1e-35, 1e-25, 1e18, 1e30])
@pytest.mark.parametrize("moments", ["full", "diagonal"])
def test_all_features_tiny_or_huge(size: float, moments: str) -> None:
    """Their squares are beyond float32, and are summed in float64; fitted values do not depend on the scale."""
    torch.manual_seed(0)
    layer, data = nn.Sequential(nn.Linear(16, 8, bias=False)), torch.randn(100, 16)
    normal = networks.calibrate(layer, [data], moments=moments)["0.weight"]
    scaled = networks.calibrate(layer, [data * size], moments=moments)
    np.testing.assert_allclose(scaled["0.weight"].mean_square / size**2, normal.mean_square, rtol=1e-4)
    if moments == "full":
        other = nn.Sequential(nn.Linear(16, 8, bias=False))
        other.load_state_dict(layer.state_dict())
        networks.prune_(layer, saliency="obs", update="exchange", calibration=scaled)
        networks.prune_(
            other, saliency="obs", update="exchange", calibration=networks.Calibration({"0.weight": normal})
        )
        for one in (layer, other):
            networks.finalize_(one)
        torch.testing.assert_close(
            layer.get_parameter("0.weight"), other.get_parameter("0.weight"), rtol=1e-3, atol=1e-5
        )


def test_what_is_refused_is_named_with_its_batch() -> None:
    """Layer and batch, and what is wrong."""
    layer, good = nn.Sequential(nn.Linear(4, 4)).double(), torch.ones(2, 4, dtype=torch.float64)
    for value, what in ((float("nan"), "NaN or infinity"), (1e200, r"values up to 1e\+200")):
        bad = good.clone()
        bad[1, 2] = value
        with pytest.raises(InvalidNetworkError, match=rf"0\.weight reads {what}.* in batch 3"):
            networks.calibrate(layer, [good, good, bad])
        with pytest.raises(InvalidNetworkError, match=rf"0\.weight reads {what}.* in batch 2"):
            networks.prune_(layer, batches=[good, bad], update="obs")
    assert not nn.utils.parametrize.is_parametrized(layer[0])
