"""Compressing a network in one call."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from permsolve import networks
from permsolve.errors import FileFormatError, InvalidNetworkError, InvalidOptionError, InvalidProblemError
from permsolve.networks.compression import RECIPES, compress
from tests.networks.running import BRIEF

FAST: dict[str, Any] = {**BRIEF, "solver": "identity"}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, groups=2), nn.ReLU(),
        nn.Conv2d(32, 8, 1), nn.Flatten(), nn.Linear(8 * 25, 12),
    ).eval()  # fmt: skip


def data() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(64, 3, 9, 9, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_compressed_network_is_legal_and_tells_what_changed(recipe: str) -> None:
    """Every recipe: weights follow the pattern without masks, and the error is that of the outputs."""
    model, batches = network(), data()
    dense = deepcopy(model)
    report = networks.compress_(
        model, (batches[0],), calibration=batches, recipe=recipe, exclude="0", solver="annealing", **BRIEF
    )
    assert list(report.layers) == ["3.weight", "5.weight", "7.weight"]
    for name in report.layers:
        assert networks.is_nm(model.get_parameter(name))
    with torch.no_grad():
        before, after = dense(batches[0]).double(), model(batches[0]).double()
    assert report.output_error == pytest.approx(float((after - before).square().sum() / before.square().sum()))
    assert report.permutation is not None
    assert report.permutation.max_relative_error is not None
    for error in report.layers.values():
        fitted = RECIPES[recipe].update is not None
        assert (error.updated < error.masked) if fitted else (error.updated == error.masked)


def test_fitting_pays() -> None:
    """The default changes the outputs less than magnitude does."""
    errors = {}
    for recipe in ("auto", "magnitude"):
        model, batches = network(), data()
        error = networks.compress_(
            model, (batches[0],), calibration=batches, recipe=recipe, exclude="0", solver="annealing", **BRIEF
        ).output_error
        assert error is not None
        errors[recipe] = error
    assert errors["auto"] < 0.8 * errors["magnitude"]


@pytest.mark.parametrize("in_order", [False, True])
def test_the_steps_by_hand_give_the_same(in_order: bool) -> None:
    """Nothing else happens than permute, prune, fit; in order where batches are given that can be read again."""
    model, batches = network(), data()
    other = deepcopy(model)
    calibration = networks.calibrate(model, batches)
    networks.compress_(model, (batches[0],), calibration=batches if in_order else iter(batches), **FAST)
    report = networks.permute_(other, (batches[0],), saliency="obs", calibration=calibration, **FAST)
    moved = None if in_order else calibration.permuted(report)
    networks.prune_(other, saliency="obs", calibration=moved, batches=batches if in_order else None, update="exchange")
    networks.finalize_(other)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)


def test_little_memory_changes_nothing(tmp_path: Path) -> None:
    """Several passes, moments on disk, layers in order all the same; a calibration that is there takes no limit."""
    model, batches = network(), data()
    other = deepcopy(model)
    networks.compress_(model, (batches[0],), calibration=batches, **FAST)
    limit = (8 * 25) ** 2 * 12
    networks.compress_(other, (batches[0],), calibration=batches, memory_limit=limit, spool=tmp_path, **FAST)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InvalidOptionError, match="leave them out"):
        networks.compress_(other, (batches[0],), calibration=networks.calibrate(other, batches), spool=tmp_path, **FAST)


def test_a_recipe_of_ones_own_and_the_report(tmp_path: Path) -> None:
    """Without a permutation; the report is printed and saved."""
    model, batches = network(), data()
    report = networks.compress_(
        model, (batches[0],), calibration=batches, recipe=networks.Recipe("wanda", permute=False), pattern="4:8", **FAST
    )
    assert report.permutation is None
    assert networks.is_nm(model.get_parameter("7.weight"), "4:8")
    assert "7.weight" in report.table()
    assert "not permuted" in repr(report)
    report.save(tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["recipe"] == {"saliency": "wanda", "permute": False, "update": "obs", "in_order": False}
    assert document["layers"]["7.weight"]["updated"] == report.layers["7.weight"].updated
    with pytest.raises(FileFormatError, match="name it"):
        report.save(tmp_path / "report.txt")


def test_errors_leave_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be used is refused beforehand, and an error of the fit takes the permutation back."""
    model, batches = network(), data()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InvalidOptionError, match="unknown recipe 'best'"):
        networks.compress_(model, (batches[0],), calibration=batches, recipe="best")
    with pytest.raises(InvalidNetworkError, match="reads NaN"):
        networks.compress_(model, (batches[0],), calibration=[batches[0] * torch.nan], **FAST)

    def broken(*args: object, **kwargs: object) -> None:
        raise InvalidProblemError("no inverse")

    monkeypatch.setattr(compress, "prune_", broken)
    with pytest.raises(InvalidProblemError, match="no inverse"):
        networks.compress_(model, (batches[0],), calibration=batches, solver="annealing", **BRIEF)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_model_without_an_output_to_compare() -> None:
    """It is told so."""

    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            counted: Tensor = self.layer(x).argmax(-1)
            return counted

    x = torch.randn(4, 8)
    with pytest.raises(InvalidOptionError, match="no tensor of floating point"):
        networks.compress_(Counts(), (x,), calibration=[x], **FAST)
