"""Layers that no calibration data reach are pruned by magnitude, and that is said."""

import pytest
import torch
from torch import Tensor, nn

from permsolve import networks
from permsolve.errors import InvalidOptionError


class Mixture(nn.Module):
    """Four experts, the last of which no token chooses; with ``empty`` it is called with nothing."""

    def __init__(self, empty: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.empty, self.calls = empty, 0
        self.gate = nn.Linear(16, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16)) for _ in range(4))
        with torch.no_grad():
            self.gate.bias[3] = -1e9

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        best, y = self.gate(x).argmax(-1), torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            places = (best == number).nonzero().squeeze(-1)
            if len(places) or self.empty:
                y = y.index_add(0, places, expert(x[places]))
        return y


IDLE = {"experts.3.0.weight", "experts.3.2.weight"}
X = torch.randn(256, 16, generator=torch.Generator().manual_seed(0))


def by_magnitude(model: nn.Module, before: dict[str, Tensor]) -> None:
    """What is idle is pruned by magnitude, with its values as they were."""
    expected = Mixture()
    expected.load_state_dict(before)
    networks.prune_(expected, include=[name.removesuffix(".weight") for name in IDLE])
    networks.finalize_(expected)
    networks.finalize_(model)
    for name in IDLE:
        assert torch.equal(model.get_parameter(name), expected.get_parameter(name))


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(("saliency", "update"), [("obs", "obs"), ("wanda", None), ("magnitude", "exchange")])
@pytest.mark.parametrize("in_order", [False, True])
def test_an_expert_that_no_token_reached(saliency: str, update: str | None, in_order: bool, empty: bool) -> None:
    """With a calibration, and layer by layer; whether it is not called, or called with nothing."""
    model = Mixture(empty)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if in_order:
        masks = networks.prune_(model, saliency=saliency, update=update, batches=[X[:128], X[128:]])
    else:
        calibration = networks.calibrate(model, [X])
        assert set(calibration.missing) == IDLE
        masks = networks.prune_(model, saliency=saliency, update=update, calibration=calibration)
    assert set(masks.notes) == IDLE
    assert all("magnitude" in note and "no batch reaches" in note for note in masks.notes.values())
    assert set(masks.errors) == set(masks) - IDLE
    by_magnitude(model, before)


def test_an_expert_that_a_later_batch_reaches() -> None:
    """It is fitted as all others are."""
    model = Mixture()
    only = X[model.gate(X).argmax(-1) == 0]
    masks = networks.prune_(model, saliency="obs", update="obs", batches=[only, X])
    assert set(masks.notes) == IDLE
    assert "experts.1.0.weight" in masks.errors


def test_a_permutation_with_an_idle_expert() -> None:
    """It weighs in as others do, and the report says how."""
    model = Mixture(empty=True)
    calibration = networks.calibrate(model, [X])
    report = networks.permute_(
        nn.Sequential(model.experts[0], nn.Identity(), model.experts[3]), (X,), saliency="obs",
        calibration=networks.Calibration(
            {"0.0.weight": calibration["experts.0.0.weight"], "0.2.weight": calibration["experts.0.2.weight"]},
            {"2.0.weight": "no batch reaches it", "2.2.weight": "no batch reaches it"},
        ),
        solver="ria", time_limit=None,
    )  # fmt: skip
    assert {name for name in report.notes if "magnitude" in report.notes[name]} == {"2.0.weight", "2.2.weight"}


def test_nothing_reached_at_all() -> None:
    """That is refused by name: the data are not of these layers."""
    model = Mixture()
    for options in ({"batches": [X]}, {"calibration": networks.calibrate(model, [X])}):
        with pytest.raises(InvalidOptionError, match=r"experts\.3\.0\.weight"):
            networks.prune_(model, saliency="obs", include="experts.3.*", **options)


def test_one_pass_decides() -> None:
    """What is idle is known before anything is fitted."""
    model = Mixture()
    networks.prune_(model, update="obs", batches=[X], include=["experts.3.*", "experts.0.0"])
    assert model.calls <= 4
