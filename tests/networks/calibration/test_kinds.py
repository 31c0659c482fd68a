"""What layers of other kinds read: transposed convolutions, experts in one parameter, projections in one matrix."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from permsolve import networks
from permsolve.networks import Layout
from permsolve.networks.prunable import prunable_weights


def energy(model: nn.Module, name: str, calibration: networks.Calibration) -> list[float]:
    """Mean square of the outputs of each matrix of a weight, summed over them, by the moments of what it reads."""
    weight = next(one for one in prunable_weights(model) if one.name == name)
    flat = weight.tensor.detach().double().reshape(weight.groups, -1, calibration[name].features).numpy()
    second = calibration[name].second_moment
    assert second is not None
    return [float(np.einsum("od,de,oe->", rows, second[group], rows)) for group, rows in enumerate(flat)]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.ConvTranspose1d(4, 6, 3, bias=False), (2, 4, 9)),
        (nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1, groups=2, bias=False), (2, 8, 5, 6)),
        (nn.ConvTranspose2d(4, 4, (2, 5), stride=(3, 1), padding=(1, 4), dilation=(2, 1), bias=False), (2, 4, 5, 6)),
        (nn.ConvTranspose3d(4, 2, 2, stride=2, bias=False), (1, 4, 3, 2, 4)),
    ],
)
def test_transposed_convolutions(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """The moments give the mean square of the outputs."""
    torch.manual_seed(0)
    x = torch.randn(shape)
    with torch.no_grad():
        outputs = layer(x).double()
    calibration = networks.calibrate(layer, [x])
    assert calibration["weight"].samples == outputs.numel() // outputs.shape[1]
    expected = outputs.square().sum().item() / calibration["weight"].samples
    assert sum(energy(layer, "weight", calibration)) == pytest.approx(expected, rel=1e-4)
    masks = networks.prune_(layer, saliency="obs", update="exchange", calibration=calibration)
    assert masks.errors["weight"].updated <= masks.errors["weight"].masked + 1e-9


class Experts(nn.Module):
    """Four experts in one parameter, which each token chooses by its sign; multiplied one by one, or all at once."""

    def __init__(self, turned: bool, at_once: bool, idle: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.turned, self.at_once, self.idle = turned, at_once, idle
        self.up = nn.Parameter(torch.randn(4, 8, 12) if turned else torch.randn(4, 12, 8))

    def forward(self, x: Tensor) -> Tensor:
        if self.at_once:
            return torch.bmm(x.reshape(4, -1, 8), self.up if self.turned else self.up.mT)
        outputs = x.new_zeros(len(x), 12)
        for number in range(4 - self.idle):
            places = torch.arange(number, len(x), 4)
            weight = self.up[number]
            outputs[places] = x[places] @ weight if self.turned else F.linear(x[places], weight)
        return outputs


networks.register_layer_kind(
    Experts, lambda layer: {"up": Layout(out=2, input=1, batch=0) if layer.turned else Layout(out=1, input=2, batch=0)}
)  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_experts_in_one_parameter(turned: bool, at_once: bool) -> None:
    """Each matrix has the moments of its own tokens."""
    model, x = Experts(turned, at_once), torch.randn(40, 8)
    calibration = networks.calibrate(model, [x[:20], x[20:]])
    assert (calibration["up"].groups, calibration["up"].samples) == (4, 40)
    for number in range(4):
        halves = (x[:20], x[20:])
        rows = torch.cat([half.reshape(4, -1, 8)[number] if at_once else half[number::4] for half in halves])
        expected = (rows.T @ rows / len(rows)).numpy()
        np.testing.assert_allclose(calibration["up"].second_moment_of(number), expected, rtol=1e-4, atol=1e-5)
    masks = networks.prune_(model, saliency="obs", update="obs", batches=[x[:20], x[20:]])
    assert masks.errors["up"].updated < masks.errors["up"].masked
    assert not masks.notes


def test_an_expert_in_one_parameter_that_no_token_reached() -> None:
    """It is taken by magnitude, keeps its values, and that is said; the others are fitted."""
    x = torch.randn(40, 8)
    model, by_magnitude = Experts(False, False, idle=True), Experts(False, False, idle=True)
    networks.prune_(by_magnitude)
    for options in ({"batches": [x]}, {"calibration": networks.calibrate(model, [x])}):
        model = Experts(False, False, idle=True)
        masks = networks.prune_(model, saliency="obs", update="obs", **options)
        assert "1 of its 4 matrices (3)" in masks.notes["up"]
        networks.finalize_(model)
        torch.testing.assert_close(model.up[3], by_magnitude.up[3], rtol=1e-4, atol=1e-6)
        assert not torch.equal(model.up[0], by_magnitude.up[0])


def test_projections_in_one_matrix() -> None:
    """Attention to itself reads one input; to another sequence, rows read two of them, which is said."""
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x, y = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    own = networks.calibrate(layer, [(x, x, x)])
    assert own["in_proj_weight"].samples == 10
    assert not own.notes
    rows = x.reshape(-1, 8)
    expected = (rows.T @ rows / 10).numpy()
    np.testing.assert_allclose(own["in_proj_weight"].second_moment_of(0), expected, rtol=1e-4, atol=1e-5)
    assert list(networks.calibrate(layer, [(x, y, y)]).notes) == ["in_proj_weight"]
    networks.prune_(layer, saliency="obs", update="exchange", batches=[(x, x, x)])


@pytest.mark.parametrize("implementation", ["eager", "grouped_mm"])
def test_experts_of_transformers(implementation: str) -> None:
    """Whatever multiplies them, and without padding."""
    transformers: Any = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.MixtralConfig(
        vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, pad_token_id=0,
    )  # fmt: skip
    model = transformers.MixtralForCausalLM(config).eval()
    model.set_experts_implementation(implementation)
    ids, padded = torch.randint(1, 64, (6, 4)), torch.zeros(6, 9, dtype=torch.long)
    padded[:, :4] = ids
    mask = (torch.arange(9) < 4).long().expand(6, 9)
    plain = networks.calibrate(model, [{"input_ids": ids}])
    found = networks.calibrate(model, [{"input_ids": padded, "attention_mask": mask}])
    assert not found.missing
    for name, moments in plain.items():
        assert found[name].samples == moments.samples
        np.testing.assert_allclose(found[name].mean_square, moments.mean_square, rtol=1e-3)
    names = {name for name in plain if "experts" in name}
    assert len(names) == 2
    assert {plain[name].samples for name in names} == {48}
